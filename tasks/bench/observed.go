package main

// What observers look into, but for WebSockets: server-sent events and JSON in gzip, as the origin answers and as
// the load asks.

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"math/rand"
	"net"
	"strings"
	"time"
)

const (
	jsonBytes = 64 << 10
	event     = "event: delta\nid: 1\ndata: {\"index\":0,\"delta\":{\"type\":\"text\",\"text\":\"What the first event of an answer says.\"}}\n\n"
	chunksEnd = "0\r\n\r\n"
)

var (
	eventChunk  = fmt.Sprintf("%x\r\n%s\r\n", len(event), event)
	eventAnswer = []byte("HTTP/1.1 200 OK\r\nServer: bench\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\n" +
		"Content-Type: text/event-stream\r\nCache-Control: no-store\r\nTransfer-Encoding: chunked\r\n\r\n" + eventChunk)
	jsonAnswer = answerInGzip(someJSON(jsonBytes))
)

// sendEvent answers by one event while the request's body is not whole; with its last byte the answer ends.
func sendEvent(conn net.Conn, missing int) bool {
	if _, err := conn.Write(eventAnswer); err != nil {
		return false
	}
	if !sink(conn, missing) {
		return false
	}
	_, err := conn.Write([]byte(chunksEnd))
	return err == nil
}

// firstEventTurn takes the time until all of the event is there while its answer is still open.
func firstEventTurn(conn net.Conn, to *target) (turn, func() error, error) {
	head := fmt.Appendf(nil, "POST /events HTTP/1.1\r\nHost: %s\r\nAccept: text/event-stream\r\n"+
		"Content-Type: text/plain\r\nContent-Length: 1\r\n\r\n", to.Origin)
	buffer := make([]byte, readBuffer)
	readThrough := func(end string) (int, error) {
		for filled := 0; ; {
			n, err := conn.Read(buffer[filled:])
			filled += n
			if bytes.HasSuffix(buffer[:filled], []byte(end)) {
				return filled, nil
			}
			if err != nil {
				return filled, fmt.Errorf("after %q: %w", buffer[:filled], err)
			}
		}
	}
	take := func() (time.Duration, error) {
		sentAt := time.Now()
		if _, err := conn.Write(head); err != nil {
			return 0, err
		}
		_, err := readThrough(eventChunk)
		took := time.Since(sentAt)
		if err != nil {
			return 0, err
		}
		if !bytes.HasPrefix(buffer, []byte("HTTP/1.1 200")) {
			return 0, fmt.Errorf("the answer begins %q", buffer[:64])
		}
		if _, err := conn.Write([]byte(".")); err != nil {
			return 0, err
		}
		filled, err := readThrough(chunksEnd)
		if err == nil && filled != len(chunksEnd) {
			err = fmt.Errorf("%q ends the answer", buffer[:filled])
		}
		return took, err
	}
	return take, func() error { return nil }, nil
}

func answerInGzip(content string) []byte {
	var coded bytes.Buffer
	writer := gzip.NewWriter(&coded)
	if _, err := writer.Write([]byte(content)); err != nil {
		fail(err)
	}
	if err := writer.Close(); err != nil {
		fail(err)
	}
	return fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nServer: bench\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\n"+
		"Content-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s",
		coded.Len(), coded.Bytes())
}

// someJSON is a list such as an API gives, the same in every run, filled with spaces to its length.
func someJSON(length int) string {
	words := strings.Fields("amber birch cedar delta ember fjord grove haven iris juniper kelp larch maple north oak pine")
	random := rand.New(rand.NewSource(1))
	word := func() string { return words[random.Intn(len(words))] }
	var text strings.Builder
	text.WriteString(`{"items":[`)
	for number := 0; ; number++ {
		item := fmt.Sprintf(`{"id":%d,"name":"%s %s","email":"%s.%d@example.com","price":%.2f,"stock":%d,"active":%t,"tags":["%s","%s"]}`,
			random.Intn(1<<30), word(), word(), word(), random.Intn(1000), random.Float64()*500, random.Intn(200),
			random.Intn(2) == 0, word(), word())
		if text.Len()+1+len(item)+len("]}") > length {
			break
		}
		if number > 0 {
			text.WriteByte(',')
		}
		text.WriteString(item)
	}
	text.WriteString("]}")
	text.WriteString(strings.Repeat(" ", length-text.Len()))
	return text.String()
}
