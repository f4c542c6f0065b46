// HTTP/3 of quic-go, for the lane of what passes through the proxy: a server, and a client that reaches it
// directly or by CONNECT-UDP (RFC 9298) in HTTP/1.1. The capsules are quic-go's own.
//
//	http3_peer serve --cert FILE --key FILE      says "listening UDP_PORT", serves until it is killed
//	http3_peer get --root FILE [--proxy HOST:PORT] [--upload FILE] [--times N] URL
//	                                             says what came, as JSON
//
//	/bytes/N     N bytes, each telling its offset
//	/digest      JSON {bytes, sha256} of the request body
//	/status/N    that status
//	/trailers    a body and a trailer field
package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/quic-go/quicvarint"

	"soth-mitm.invalid/peers/peer"
)

func serve(cert, key string) error {
	mux := http.NewServeMux()
	mux.HandleFunc("/bytes/{n}", func(writer http.ResponseWriter, request *http.Request) {
		_, _ = writer.Write(peer.Pattern(peer.Number(request)))
	})
	mux.HandleFunc("/digest", peer.Digest)
	mux.HandleFunc("/status/{n}", func(writer http.ResponseWriter, request *http.Request) {
		writer.WriteHeader(peer.Number(request))
	})
	mux.HandleFunc("/trailers", func(writer http.ResponseWriter, _ *http.Request) {
		writer.Header().Set("Trailer", "X-Checksum")
		_, _ = io.WriteString(writer, "with trailers\n")
		writer.Header().Set("X-Checksum", "abc")
	})
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return err
	}
	socket, err := net.ListenUDP("udp", nil)
	if err != nil {
		return err
	}
	peer.Say(socket.LocalAddr())
	server := http3.Server{
		Handler:   mux,
		TLSConfig: http3.ConfigureTLSConfig(&tls.Config{Certificates: []tls.Certificate{pair}}),
	}
	return server.Serve(socket)
}

// tunnel is a CONNECT-UDP as the socket that QUIC is given.
type tunnel struct {
	net.Conn
	parser *http3.CapsuleParser
	target net.Addr
	writes sync.Mutex
}

func connectUDP(proxy, host, port string) (*tunnel, error) {
	connection, err := net.DialTimeout("tcp", proxy, 10*time.Second)
	if err != nil {
		return nil, err
	}
	_, err = fmt.Fprintf(connection, "GET /.well-known/masque/udp/%s/%s/ HTTP/1.1\r\nHost: %s\r\n"+
		"Connection: Upgrade\r\nUpgrade: connect-udp\r\nCapsule-Protocol: ?1\r\n\r\n", url.PathEscape(host), port, proxy)
	if err != nil {
		return nil, err
	}
	reader := bufio.NewReaderSize(connection, 64*1024)
	response, err := http.ReadResponse(reader, nil)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusSwitchingProtocols {
		body, _ := io.ReadAll(response.Body)
		return nil, fmt.Errorf("the proxy answers %s %s", response.Status, body)
	}
	if response.Header.Get("Upgrade") != "connect-udp" || response.Header.Get("Capsule-Protocol") != "?1" {
		return nil, fmt.Errorf("the proxy upgrades to %v", response.Header)
	}
	return &tunnel{Conn: connection, parser: http3.NewCapsuleParser(reader), target: &net.UDPAddr{IP: net.IPv4zero}}, nil
}

func (t *tunnel) ReadFrom(buffer []byte) (int, net.Addr, error) {
	for {
		kind, content, err := t.parser.Next()
		if err != nil {
			return 0, nil, err
		}
		payload, err := io.ReadAll(content)
		if err != nil {
			return 0, nil, err
		}
		if kind != 0 || len(payload) == 0 || payload[0] != 0 {
			return 0, nil, fmt.Errorf("capsule of type %d: %x", kind, payload)
		}
		return copy(buffer, payload[1:]), t.target, nil
	}
}

func (t *tunnel) WriteTo(payload []byte, _ net.Addr) (int, error) {
	var capsule bytes.Buffer
	err := http3.WriteCapsule(quicvarint.NewWriter(&capsule), 0, append([]byte{0}, payload...))
	if err != nil {
		return 0, err
	}
	t.writes.Lock()
	defer t.writes.Unlock()
	if _, err := t.Write(capsule.Bytes()); err != nil {
		return 0, err
	}
	return len(payload), nil
}

type outcome struct {
	Proto    string            `json:"proto"`
	Status   int               `json:"status"`
	Bytes    int64             `json:"bytes"`
	SHA256   string            `json:"sha256"`
	Text     string            `json:"text,omitempty"`
	Trailers map[string]string `json:"trailers,omitempty"`
	Issuer   string            `json:"issuer"`
}

func get(client *http.Client, target, upload string) (*outcome, error) {
	method, body := http.MethodGet, []byte(nil)
	if upload != "" {
		var err error
		method = http.MethodPut
		if body, err = os.ReadFile(upload); err != nil {
			return nil, err
		}
	}
	request, err := http.NewRequest(method, target, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(content)
	came := outcome{
		Proto:    response.Proto,
		Status:   response.StatusCode,
		Bytes:    int64(len(content)),
		SHA256:   hex.EncodeToString(sum[:]),
		Trailers: map[string]string{},
		Issuer:   response.TLS.PeerCertificates[0].Issuer.CommonName,
	}
	if len(content) < 200 {
		came.Text = string(content)
	}
	for name := range response.Trailer {
		came.Trailers[name] = response.Trailer.Get(name)
	}
	return &came, nil
}

func fetch(root, proxy, upload, target string, times int) error {
	pem, err := os.ReadFile(root)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return errors.New("no root in " + root)
	}
	transport := &http3.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	if proxy != "" {
		transport.Dial = func(ctx context.Context, address string, config *tls.Config, options *quic.Config) (*quic.Conn, error) {
			host, port, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			through, err := connectUDP(proxy, host, port)
			if err != nil {
				return nil, err
			}
			return (&quic.Transport{Conn: through}).DialEarly(ctx, through.target, config, options)
		}
	}
	defer transport.Close()
	client := &http.Client{Transport: transport, Timeout: 60 * time.Second}
	outcomes := make([]*outcome, times)
	failures := make([]error, times)
	var all sync.WaitGroup
	for index := range times {
		all.Go(func() { outcomes[index], failures[index] = get(client, target, upload) })
	}
	all.Wait()
	if err := errors.Join(failures...); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(outcomes)
}

func run() error {
	if len(os.Args) < 2 {
		return errors.New("serve or get")
	}
	flags := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	cert := flags.String("cert", "", "PEM file")
	key := flags.String("key", "", "PEM file")
	root := flags.String("root", "", "PEM file")
	proxy := flags.String("proxy", "", "host:port")
	upload := flags.String("upload", "", "file")
	times := flags.Int("times", 1, "requests at once on one connection")
	_ = flags.Parse(os.Args[2:])
	if os.Args[1] == "serve" {
		return serve(*cert, *key)
	}
	return fetch(*root, *proxy, *upload, flags.Arg(0), *times)
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
