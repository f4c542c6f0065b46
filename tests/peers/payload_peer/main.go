// The origin of what observers decode: content in codings, bombs of each, and messages of MsgPack, all made by
// libraries of other people than those that the proxy decodes with.
//
//	payload_peer --cert FILE --key FILE     says "listening TLS_PORT PLAIN_PORT", serves until it is killed
//	payload_peer samples                    the messages of MsgPack, as JSON: name, octets, and what they say
//
//	POST /coded/CODINGS     the request's content in these codings, such as gzip or br,gzip; "flush" is the size
//	                        of the pieces after each of which all encoders are flushed, "type" the content type
//	GET  /bomb/CODINGS      "mib" MiB of the octet "octet" in these codings, "identity" for none; "head" goes first
//	     /msgpack/NAME      that sample; a POST must bring its very octets
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"

	"soth-mitm.invalid/peers/peer"
)

type encoder interface {
	io.WriteCloser
	Flush() error
}

func open(coding string, to io.Writer) (encoder, error) {
	switch coding {
	case "gzip":
		return gzip.NewWriter(to), nil
	case "deflate":
		return zlib.NewWriter(to), nil
	case "deflate-raw":
		return flate.NewWriter(to, flate.DefaultCompression)
	case "br":
		return brotli.NewWriterLevel(to, 5), nil
	case "zstd":
		return zstd.NewWriter(to, zstd.WithEncoderConcurrency(1))
	}
	return nil, fmt.Errorf("no coding is called %q", coding)
}

// All codings of a message, the one that is applied first in front.
type chain []encoder

func openChain(codings []string, to io.Writer) (chain, error) {
	encoders := make(chain, len(codings))
	for i := len(codings) - 1; i >= 0; i-- {
		one, err := open(codings[i], to)
		if err != nil {
			return nil, err
		}
		encoders[i], to = one, one
	}
	return encoders, nil
}

func (encoders chain) each(apply func(encoder) error) error {
	for _, one := range encoders {
		if err := apply(one); err != nil {
			return err
		}
	}
	return nil
}

func codingsOf(request *http.Request) []string {
	if name := request.PathValue("codings"); name != "identity" {
		return strings.Split(name, ",")
	}
	return nil
}

// What the codings are called on the wire: both kinds of deflate go by one name.
func declare(writer http.ResponseWriter, request *http.Request, codings []string) {
	// Not FormValue: that reads contents which are forms.
	writer.Header().Set("Content-Type", request.URL.Query().Get("type"))
	if len(codings) > 0 {
		writer.Header().Set("Content-Encoding", strings.ReplaceAll(strings.Join(codings, ", "), "deflate-raw", "deflate"))
	}
}

func coded(writer http.ResponseWriter, request *http.Request) {
	content, err := io.ReadAll(request.Body)
	if err != nil {
		return
	}
	codings := codingsOf(request)
	size, _ := strconv.Atoi(request.URL.Query().Get("flush"))
	flushes := size > 0
	if !flushes {
		size = max(len(content), 1)
	}
	declare(writer, request, codings)
	encoders, err := openChain(codings, writer)
	if err != nil {
		http.Error(writer, err.Error(), http.StatusNotFound)
		return
	}
	var first io.Writer = writer
	if len(encoders) > 0 {
		first = encoders[0]
	}
	for start := 0; start < len(content); start += size {
		if _, err := first.Write(content[start:min(start+size, len(content))]); err != nil {
			return
		}
		if flushes {
			_ = encoders.each(encoder.Flush)
			_ = http.NewResponseController(writer).Flush()
		}
	}
	_ = encoders.each(encoder.Close)
}

// Bombs that have been made: who asks twice gets the same octets.
type bombs struct {
	sync.Mutex
	made map[string][]byte
}

func (all *bombs) serve(writer http.ResponseWriter, request *http.Request) {
	all.Lock()
	defer all.Unlock()
	codings := codingsOf(request)
	key := request.URL.String()
	body, made := all.made[key]
	if !made {
		var err error
		if body, err = bomb(codings, request); err != nil {
			http.Error(writer, err.Error(), http.StatusNotFound)
			return
		}
		all.made[key] = body
	}
	declare(writer, request, codings)
	writer.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = writer.Write(body)
}

func bomb(codings []string, request *http.Request) ([]byte, error) {
	mebibytes, err := strconv.Atoi(request.FormValue("mib"))
	if err != nil {
		return nil, err
	}
	octet, err := strconv.ParseUint(request.FormValue("octet"), 10, 8)
	if err != nil {
		return nil, err
	}
	var body bytes.Buffer
	encoders, err := openChain(codings, &body)
	if err != nil {
		return nil, err
	}
	var first io.Writer = &body
	if len(encoders) > 0 {
		first = encoders[0]
	}
	if _, err := io.WriteString(first, request.FormValue("head")); err != nil {
		return nil, err
	}
	block := bytes.Repeat([]byte{byte(octet)}, 1<<20)
	for range mebibytes {
		if _, err := first.Write(block); err != nil {
			return nil, err
		}
	}
	err = encoders.each(encoder.Close)
	return body.Bytes(), err
}

func packed(writer http.ResponseWriter, request *http.Request) {
	for _, one := range samples() {
		if one.Name != request.PathValue("name") {
			continue
		}
		if content, err := io.ReadAll(request.Body); err != nil ||
			request.Method == http.MethodPost && !bytes.Equal(content, one.Octets) {
			http.Error(writer, "other octets", http.StatusConflict)
			return
		}
		writer.Header().Set("Content-Type", "application/vnd.msgpack")
		_, _ = writer.Write(one.Octets)
		return
	}
	http.NotFound(writer, request)
}

func serve() error {
	cert := flag.String("cert", "", "the certificate chain, PEM")
	key := flag.String("key", "", "its private key, PEM")
	flag.Parse()
	if flag.Arg(0) == "samples" {
		return json.NewEncoder(os.Stdout).Encode(samples())
	}
	mux := http.NewServeMux()
	all := &bombs{made: map[string][]byte{}}
	mux.HandleFunc("POST /coded/{codings}", coded)
	mux.HandleFunc("GET /bomb/{codings}", all.serve)
	mux.HandleFunc("/msgpack/{name}", packed)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	return peer.Serve(server, *cert, *key)
}

func main() {
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, "payload_peer:", err)
		os.Exit(1)
	}
}
