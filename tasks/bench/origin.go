package main

// The origin: HTTP/1.1, and HTTP/2 in http2.go; keep-alive, answers made beforehand, one buffer per connection and no allocation per request.
// It trusts its client to speak plain HTTP/1.1; it is no example of a server.
//
//	GET /            1 KiB
//	GET /bulk?bytes=N    N bytes with a Content-Length
//	GET /json        64 KiB of JSON, in gzip
//	POST /upload     reads Content-Length bytes, then answers 2 bytes
//	POST /events     a server-sent event at once; ends its answer after the one byte of the request's body
//	GET /echo        a WebSocket that sends back what it is sent

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
)

const smallBodyBytes = 1024

// The hybrid key exchange would be a quarter of what a handshake costs the load and the origin, and they take
// it from the proxy on a small machine.
var curves = []tls.CurveID{tls.X25519}

func runOrigin(certPath, keyPath string) {
	certificate, err := tls.LoadX509KeyPair(certPath, keyPath)
	if err != nil {
		fail(err)
	}
	config := &tls.Config{
		Certificates:     []tls.Certificate{certificate},
		NextProtos:       []string{"h2", "http/1.1"},
		CurvePreferences: curves,
		// Records grow slowly by default, which would measure Go's policy and not the proxy.
		DynamicRecordSizingDisabled: true,
	}
	plainPort := listenBoth(func(conn net.Conn) net.Conn { return conn })
	securePort := listenBoth(func(conn net.Conn) net.Conn { return tls.Server(conn, config) })
	ticketless := config.Clone()
	ticketless.SessionTicketsDisabled = true
	ticketlessPort := listenBoth(func(conn net.Conn) net.Conn { return tls.Server(conn, ticketless) })
	printJSON(map[string]int{
		"plainPort": plainPort, "securePort": securePort, "ticketlessPort": ticketlessPort,
	})
	io.Copy(io.Discard, os.Stdin)
}

// listenBoth serves one port on both loopback addresses, since "localhost" may mean either.
func listenBoth(wrap func(net.Conn) net.Conn) int {
	first, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		fail(err)
	}
	port := first.Addr().(*net.TCPAddr).Port
	go acceptAll(first, wrap)
	if second, err := net.Listen("tcp6", fmt.Sprintf("[::1]:%d", port)); err == nil {
		go acceptAll(second, wrap)
	}
	return port
}

func acceptAll(listener net.Listener, wrap func(net.Conn) net.Conn) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			fail(err)
		}
		go serveEither(wrap(conn))
	}
}

// serveEither goes by what the handshake agreed on.
func serveEither(conn net.Conn) {
	if secured, ok := conn.(*tls.Conn); ok {
		if secured.Handshake() != nil {
			conn.Close()
			return
		}
		if secured.ConnectionState().NegotiatedProtocol == "h2" {
			defer conn.Close()
			serveHTTP2(conn)
			return
		}
	}
	serve(conn)
}

var (
	smallAnswer  = answerHead(smallBodyBytes, "text/plain") + string(pattern(smallBodyBytes))
	uploadAnswer = answerHead(2, "text/plain") + "ok"
	bulkChunk    = pattern(256 << 10)
)

func answerHead(length int, contentType string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nServer: bench\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\n"+
		"Content-Type: %s\r\nContent-Length: %d\r\n\r\n", contentType, length)
}

func pattern(length int) []byte {
	body := make([]byte, length)
	for i := range body {
		body[i] = byte('a' + i%26)
	}
	return body
}

var headEnd = []byte("\r\n\r\n")

func serve(conn net.Conn) {
	defer conn.Close()
	small, uploaded := []byte(smallAnswer), []byte(uploadAnswer)
	buffer := make([]byte, 4<<10)
	filled := 0
	for {
		head := bytes.Index(buffer[:filled], headEnd)
		if head < 0 {
			if filled == len(buffer) {
				return
			}
			n, err := conn.Read(buffer[filled:])
			filled += n
			if err != nil {
				return
			}
			continue
		}
		request := buffer[:head]
		next := head + len(headEnd)
		switch {
		case bytes.HasPrefix(request, []byte("GET /bulk?bytes=")):
			length := number(request[len("GET /bulk?bytes="):])
			if !sendBulk(conn, length) {
				return
			}
		case bytes.HasPrefix(request, []byte("GET /json ")):
			if _, err := conn.Write(jsonAnswer); err != nil {
				return
			}
		case bytes.HasPrefix(request, []byte("GET /echo ")):
			serveWebSocket(conn, request, buffer[next:filled])
			return
		case bytes.HasPrefix(request, []byte("POST /events ")):
			here := min(1, filled-next)
			if !sendEvent(conn, 1-here) {
				return
			}
			next += here
		case bytes.HasPrefix(request, []byte("POST ")):
			length := contentLength(request)
			here := min(length, filled-next)
			if !sink(conn, length-here) {
				return
			}
			next += here
			if _, err := conn.Write(uploaded); err != nil {
				return
			}
		default:
			if _, err := conn.Write(small); err != nil {
				return
			}
		}
		filled = copy(buffer, buffer[next:filled])
	}
}

func sendBulk(conn net.Conn, length int) bool {
	if _, err := conn.Write([]byte(answerHead(length, "application/octet-stream"))); err != nil {
		return false
	}
	for length > 0 {
		n := min(length, len(bulkChunk))
		if _, err := conn.Write(bulkChunk[:n]); err != nil {
			return false
		}
		length -= n
	}
	return true
}

func sink(conn net.Conn, length int) bool {
	scratch := make([]byte, 256<<10)
	for length > 0 {
		n, err := conn.Read(scratch[:min(length, len(scratch))])
		length -= n
		if err != nil {
			return false
		}
	}
	return true
}

func contentLength(head []byte) int {
	at := bytes.Index(head, []byte("\r\nContent-Length: "))
	if at < 0 {
		return 0
	}
	return number(head[at+len("\r\nContent-Length: "):])
}

func number(text []byte) int {
	end := 0
	for end < len(text) && text[end] >= '0' && text[end] <= '9' {
		end++
	}
	value, _ := strconv.Atoi(string(text[:end]))
	return value
}
