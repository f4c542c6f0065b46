// tls_peer is a TLS peer on Go's crypto/tls: many servers at once, or one client through a proxy.
//
//	tls_peer serve '[{"cert": …, "key": …, "max": "1.2", "suites": […], "alpn": […], "clientCa": …, "staple": …}]'
//	tls_peer connect '{"proxy": "host:port", "target": "host:port", "ca": …, "days": …, "max": …, "suites": […]}'
//
// `days` moves the client's clock, so that a certificate is expired or not yet valid to it.
package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

type options struct {
	Cert, Key, ClientCa, Staple, Proxy, Target, Ca, Max string
	Alpn                                                []string
	Suites                                              []uint16
	Days                                                int
}

func main() {
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(role, given string) error {
	if role == "connect" {
		var o options
		if err := json.Unmarshal([]byte(given), &o); err != nil {
			return err
		}
		return connect(o)
	}
	var all []options
	if err := json.Unmarshal([]byte(given), &all); err != nil {
		return err
	}
	ports := []string{}
	for _, o := range all {
		port, err := serve(o)
		if err != nil {
			return err
		}
		ports = append(ports, fmt.Sprint(port))
	}
	fmt.Println("listening", strings.Join(ports, " "))
	select {}
}

func (o options) config() *tls.Config {
	versions := map[string]uint16{"1.0": tls.VersionTLS10, "1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}
	config := &tls.Config{NextProtos: o.Alpn, CipherSuites: o.Suites}
	if o.Max != "" {
		config.MinVersion, config.MaxVersion = tls.VersionTLS10, versions[o.Max]
	}
	return config
}

func pool(path string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(path)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	return roots, err
}

func serve(o options) (int, error) {
	config := o.config()
	pair, err := tls.LoadX509KeyPair(o.Cert, o.Key)
	if err != nil {
		return 0, err
	}
	if o.Staple != "" {
		if pair.OCSPStaple, err = os.ReadFile(o.Staple); err != nil {
			return 0, err
		}
	}
	config.Certificates = []tls.Certificate{pair}
	if o.ClientCa != "" {
		config.ClientAuth = tls.RequireAndVerifyClientCert
		if config.ClientCAs, err = pool(o.ClientCa); err != nil {
			return 0, err
		}
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		return 0, err
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				if _, err := conn.Read(make([]byte, 4096)); err == nil {
					fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
				}
			}()
		}
	}()
	return listener.Addr().(*net.TCPAddr).Port, nil
}

func connect(o options) error {
	config := o.config()
	config.ServerName, _, _ = net.SplitHostPort(o.Target)
	config.Time = func() time.Time { return time.Now().AddDate(0, 0, o.Days) }
	if o.Ca != "" {
		roots, err := pool(o.Ca)
		if err != nil {
			return err
		}
		config.RootCAs = roots
	}
	plain, err := net.Dial("tcp", o.Proxy)
	if err != nil {
		return err
	}
	fmt.Fprintf(plain, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", o.Target, o.Target)
	if _, err := http.ReadResponse(bufio.NewReaderSize(plain, 16), nil); err != nil {
		return err
	}
	conn := tls.Client(plain, config)
	defer conn.Close()
	if err := conn.Handshake(); err != nil {
		return err
	}
	fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	answer := make([]byte, 15)
	_, err = conn.Read(answer)
	fmt.Printf("%x %q\n", conn.ConnectionState().Version, answer)
	return err
}
