// The HTTP/2 origin of the lanes: Go's own server, over TLS and in the clear with prior knowledge.
//
//	http2_peer --cert FILE --key FILE     says "listening TLS_PORT PLAIN_PORT", serves until it is killed
//
//	/bytes/N     N bytes, each telling its offset
//	/digest      JSON {bytes, sha256} of the request body
//	/echo        the request body as it comes, in both directions at once
//	/trailers    a body and two trailer fields; the request's own trailers come back as the body
//	/hints       103 Early Hints twice, then 200
//	/early       the answer before the request body is read: the rest is refused with RST_STREAM(NO_ERROR)
//	/abort       a head and some of a body, then RST_STREAM
//	/status/N    that status
//	/alt-svc     says that it speaks HTTP/3 elsewhere (RFC 7838)
//	/page?n=N    a page that fetches N parts of different sizes and reports what came
//	/part/N      a part of that page; /report takes what the page says, /reported gives the last report
package main

import (
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"soth-mitm.invalid/peers/peer"
)

func sendBytes(writer http.ResponseWriter, count int) {
	writer.Header().Set("Content-Type", "application/octet-stream")
	writer.Header().Set("Content-Length", strconv.Itoa(count))
	_, _ = writer.Write(peer.Pattern(count))
}

func echo(writer http.ResponseWriter, request *http.Request) {
	controller := http.NewResponseController(writer)
	writer.WriteHeader(http.StatusOK)
	buffer := make([]byte, 32*1024)
	for {
		count, err := request.Body.Read(buffer)
		if _, failed := writer.Write(buffer[:count]); failed != nil {
			return
		}
		if failed := controller.Flush(); failed != nil || err != nil {
			return
		}
	}
}

func trailers(writer http.ResponseWriter, request *http.Request) {
	_, _ = io.Copy(io.Discard, request.Body)
	writer.Header().Set("Trailer", "X-Checksum, X-Count")
	names := []string{}
	for name := range request.Trailer {
		names = append(names, name)
	}
	slices.Sort(names)
	_, _ = io.WriteString(writer, "with trailers\n")
	for _, name := range names {
		_, _ = fmt.Fprintf(writer, "%s: %s\n", name, request.Trailer.Get(name))
	}
	// Without a length, so that no client takes the body's last byte for the end of the message.
	_ = http.NewResponseController(writer).Flush()
	writer.Header().Set("X-Checksum", "abc")
	writer.Header().Set("X-Count", "14")
}

func hints(writer http.ResponseWriter, _ *http.Request) {
	for _, name := range []string{"style.css", "app.js"} {
		writer.Header().Set("Link", "</"+name+">; rel=preload")
		writer.WriteHeader(http.StatusEarlyHints)
	}
	writer.Header().Del("Link")
	_, _ = io.WriteString(writer, "after hints\n")
}

func abort(writer http.ResponseWriter, _ *http.Request) {
	_, _ = writer.Write(peer.Pattern(20_000))
	_ = http.NewResponseController(writer).Flush()
	panic(http.ErrAbortHandler)
}

const page = `<!doctype html><meta charset=utf-8><title>parts</title><link rel=icon href=data:,><p id=result>-
<script>
const count = %d;
const load = (index) => fetch("/part/" + index).then((response) => response.arrayBuffer())
  .then(({ byteLength }) => byteLength);
Promise.all(Array.from({ length: count }, (_, index) => load(index)))
  .then((sizes) => JSON.stringify({ count: sizes.length, bytes: sizes.reduce((sum, size) => sum + size, 0) }))
  .then((body) => fetch("/report", { method: "POST", body }))
  .then((response) => response.text(), (error) => "failed " + error)
  .then((text) => document.getElementById("result").textContent = text);
</script>
`

// The last report of a page.
type report struct {
	sync.Mutex
	text []byte
}

func (last *report) take(writer http.ResponseWriter, request *http.Request) {
	text, err := io.ReadAll(io.LimitReader(request.Body, 1000))
	if err != nil {
		return
	}
	last.Lock()
	last.text = text
	last.Unlock()
	_, _ = fmt.Fprintf(writer, "reported %s", text)
}

func (last *report) give(writer http.ResponseWriter, _ *http.Request) {
	last.Lock()
	defer last.Unlock()
	_, _ = writer.Write(last.text)
}

func routes() http.Handler {
	mux := http.NewServeMux()
	last := &report{}
	mux.HandleFunc("/bytes/{n}", func(writer http.ResponseWriter, request *http.Request) {
		sendBytes(writer, peer.Number(request))
	})
	mux.HandleFunc("/part/{n}", func(writer http.ResponseWriter, request *http.Request) {
		sendBytes(writer, 100+peer.Number(request)*97)
	})
	mux.HandleFunc("/status/{n}", func(writer http.ResponseWriter, request *http.Request) {
		writer.WriteHeader(peer.Number(request))
	})
	mux.HandleFunc("/alt-svc", func(writer http.ResponseWriter, _ *http.Request) {
		writer.Header().Set("Alt-Svc", `h3=":443"; ma=600`)
		writer.Header().Set("X-After", "stays")
		_, _ = io.WriteString(writer, "elsewhere\n")
	})
	mux.HandleFunc("/page", func(writer http.ResponseWriter, request *http.Request) {
		count, _ := strconv.Atoi(request.FormValue("n"))
		writer.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = fmt.Fprintf(writer, page, count)
	})
	mux.HandleFunc("/early", func(writer http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(writer, "answered early\n")
	})
	mux.HandleFunc("/digest", peer.Digest)
	mux.HandleFunc("/echo", echo)
	mux.HandleFunc("/trailers", trailers)
	mux.HandleFunc("/hints", hints)
	mux.HandleFunc("/abort", abort)
	mux.HandleFunc("/report", last.take)
	mux.HandleFunc("/reported", last.give)
	return mux
}

func serve() error {
	cert := flag.String("cert", "", "the certificate chain, PEM")
	key := flag.String("key", "", "its private key, PEM")
	flag.Parse()
	server := &http.Server{Handler: routes(), Protocols: &http.Protocols{}, ReadHeaderTimeout: 10 * time.Second}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetHTTP2(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	return peer.Serve(server, *cert, *key)
}

func main() {
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, "http2_peer:", err)
		os.Exit(1)
	}
}
