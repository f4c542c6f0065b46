package main

// HTTP/2 as the origin and the load speak it: just the frames that a benchmark needs, written beforehand, so
// that the proxy is what gets measured. Field blocks use the dynamic table as real peers do: the first of a
// connection fills it, later ones refer to it. Windows are as large as they can be, and given back in time.

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"
)

const (
	frameData         = 0
	frameHeaders      = 1
	frameRstStream    = 3
	frameSettings     = 4
	framePing         = 6
	frameGoaway       = 7
	frameWindowUpdate = 8

	flagEndStream  = 1
	flagAck        = 1
	flagEndHeaders = 4

	frameHeadBytes = 9
	frameBytesMax  = 16 << 10
	windowMax      = 1<<31 - 1
	// A receiver gives its window back in steps of this.
	windowStep = 16 << 20
)

var http2Preface = []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")

func appendFrame(to []byte, kind, flags byte, stream uint32, payload []byte) []byte {
	length := len(payload)
	to = append(to, byte(length>>16), byte(length>>8), byte(length), kind, flags)
	to = binary.BigEndian.AppendUint32(to, stream)
	return append(to, payload...)
}

// opening is what either side says first: its settings, and a window for the connection as large as for a stream.
func opening() []byte {
	settings := binary.BigEndian.AppendUint32([]byte{0, 4}, windowMax)
	greeting := appendFrame(nil, frameSettings, 0, 0, settings)
	return appendWindow(greeting, 0, windowMax-65535)
}

func appendWindow(to []byte, stream uint32, increment int) []byte {
	return appendFrame(to, frameWindowUpdate, 0, stream, binary.BigEndian.AppendUint32(nil, uint32(increment)))
}

// literal writes a field whose name is in the static table: 0x40 goes into the dynamic table, 0x00 does not.
func literal(to []byte, mark byte, name int, value string) []byte {
	prefix := 15
	if mark == 0x40 {
		prefix = 63
	}
	if name < prefix {
		to = append(to, mark|byte(name))
	} else {
		to = append(to, mark|byte(prefix), byte(name-prefix))
	}
	return append(append(to, byte(len(value))), value...)
}

// Static table: authority 1, path 4, accept-encoding 16, accept 19, content-length 28, content-type 31, date 33,
// server 54, user-agent 58; whole fields :method GET 2, POST 3, :path / 4, :scheme https 7, :status 200 8.
func requestBlocks(authority string) (first, later []byte) {
	first = []byte{0x82, 0x87, 0x84}
	first = literal(first, 0x40, 1, authority)
	first = literal(first, 0x40, 58, "bench")
	first = literal(first, 0x40, 19, "*/*")
	first = literal(first, 0x40, 16, "identity")
	return first, []byte{0x82, 0x87, 0x84, 0xc1, 0xc0, 0xbf, 0xbe}
}

func singleBlock(method byte, path, authority string) []byte {
	block := literal([]byte{method, 0x87}, 0, 4, path)
	return literal(block, 0, 1, authority)
}

func answerBlocks() (first, later []byte) {
	first = literal([]byte{0x88}, 0x40, 54, "bench")
	first = literal(first, 0x40, 33, "Thu, 01 Jan 2026 00:00:00 GMT")
	first = literal(first, 0x40, 31, "text/plain")
	first = literal(first, 0x40, 28, "1024")
	return first, []byte{0x88, 0xc1, 0xc0, 0xbf, 0xbe}
}

// frames reads a connection frame by frame, many in a read.
type frames struct {
	conn          net.Conn
	buffer        []byte
	start, filled int
}

func newFrames(conn net.Conn) *frames {
	return &frames{conn: conn, buffer: make([]byte, 256<<10)}
}

type frame struct {
	kind, flags byte
	stream      uint32
	payload     []byte
}

// next gives the next frame that is whole; false when there is none without reading.
func (f *frames) next() (frame, bool) {
	have := f.buffer[f.start:f.filled]
	if len(have) < frameHeadBytes {
		return frame{}, false
	}
	length := int(have[0])<<16 | int(have[1])<<8 | int(have[2])
	if len(have) < frameHeadBytes+length {
		return frame{}, false
	}
	f.start += frameHeadBytes + length
	return frame{
		kind:    have[3],
		flags:   have[4],
		stream:  binary.BigEndian.Uint32(have[5:9]) & windowMax,
		payload: have[frameHeadBytes : frameHeadBytes+length],
	}, true
}

func (f *frames) read() error {
	if f.start > 0 {
		f.filled = copy(f.buffer, f.buffer[f.start:f.filled])
		f.start = 0
	}
	if f.filled == len(f.buffer) {
		return errors.New("a frame is longer than the buffer")
	}
	n, err := f.conn.Read(f.buffer[f.filled:])
	f.filled += n
	if n > 0 {
		return nil
	}
	return err
}

// serveHTTP2 is the origin on one connection, its preface included.
func serveHTTP2(conn net.Conn) {
	preface := make([]byte, len(http2Preface))
	if _, err := io.ReadFull(conn, preface); err != nil || !bytes.Equal(preface, http2Preface) {
		return
	}
	first, later := answerBlocks()
	block := first
	body := pattern(smallBodyBytes)
	reader := newFrames(conn)
	out := opening()
	taken := 0
	for {
		for {
			told, ok := reader.next()
			if !ok {
				break
			}
			switch told.kind {
			case frameSettings:
				if told.flags&flagAck == 0 {
					out = appendFrame(out, frameSettings, flagAck, 0, nil)
				}
			case framePing:
				if told.flags&flagAck == 0 {
					out = appendFrame(out, framePing, flagAck, 0, told.payload)
				}
			case frameGoaway:
				return
			case frameHeaders:
				if told.flags&flagEndStream == 0 {
					break
				}
				if at := bytes.Index(told.payload, []byte("/bulk?bytes=")); at >= 0 {
					if _, err := conn.Write(out); err != nil {
						return
					}
					out = out[:0]
					if !sendBulkHTTP2(conn, told.stream, number(told.payload[at+len("/bulk?bytes="):])) {
						return
					}
					break
				}
				out = appendFrame(out, frameHeaders, flagEndHeaders, told.stream, block)
				block = later
				out = appendFrame(out, frameData, flagEndStream, told.stream, body)
			case frameData:
				taken += len(told.payload)
				if taken >= windowStep {
					out = appendWindow(out, 0, taken)
					out = appendWindow(out, told.stream, taken)
					taken = 0
				}
				if told.flags&flagEndStream != 0 {
					out = appendFrame(out, frameHeaders, flagEndHeaders|flagEndStream, told.stream, []byte{0x88})
				}
			}
		}
		if len(out) > 0 {
			if _, err := conn.Write(out); err != nil {
				return
			}
			out = out[:0]
		}
		if err := reader.read(); err != nil {
			return
		}
	}
}

// bulkFrames are DATA frames of the largest size that needs no setting, to be sent as they are but for their stream.
func bulkFrames(stream uint32) []byte {
	var out []byte
	for at := 0; at < len(bulkChunk); at += frameBytesMax {
		out = appendFrame(out, frameData, 0, stream, bulkChunk[at:at+frameBytesMax])
	}
	return out
}

func sendBulkHTTP2(conn net.Conn, stream uint32, length int) bool {
	head := appendFrame(nil, frameHeaders, flagEndHeaders, stream, []byte{0x88})
	if _, err := conn.Write(head); err != nil {
		return false
	}
	return writeData(conn, stream, length) == nil
}

// writeData sends so many octets and the end of the stream. The window of the receiver is larger than all of them.
func writeData(conn net.Conn, stream uint32, length int) error {
	chunk := bulkFrames(stream)
	for ; length > len(bulkChunk); length -= len(bulkChunk) {
		if _, err := conn.Write(chunk); err != nil {
			return err
		}
	}
	var last []byte
	for length > 0 {
		n := min(length, frameBytesMax)
		length -= n
		flags := byte(0)
		if length == 0 {
			flags = flagEndStream
		}
		last = appendFrame(last, frameData, flags, stream, bulkChunk[:n])
	}
	_, err := conn.Write(last)
	return err
}

// keepAliveHTTP2 keeps so many streams under way on each connection.
func keepAliveHTTP2(to *target, asked *command) (result, error) {
	conns, err := openMany(to, asked.Connections)
	defer closeAll(conns)
	if err != nil {
		return result{}, err
	}
	m := newMeter(asked)
	startedAt := time.Now()
	var workers sync.WaitGroup
	for _, conn := range conns {
		workers.Go(func() { m.done(keepStreams(conn, to.Origin, asked.Streams, m)) })
	}
	workers.Wait()
	return m.result(startedAt)
}

func keepStreams(conn net.Conn, authority string, streams int, m *meter) ([]time.Duration, error) {
	first, later := requestBlocks(authority)
	block := first
	latencies := make([]time.Duration, 0, 1<<14)
	begun := make(map[uint32]time.Time, streams)
	out := append(slices.Clone(http2Preface), opening()...)
	next := uint32(1)
	begin := func() {
		if !m.next() {
			return
		}
		out = appendFrame(out, frameHeaders, flagEndHeaders|flagEndStream, next, block)
		block = later
		begun[next] = time.Now()
		next += 2
	}
	for range streams {
		begin()
	}
	reader := newFrames(conn)
	taken, body := 0, make(map[uint32]int, streams)
	for len(begun) > 0 {
		if len(out) > 0 {
			if _, err := conn.Write(out); err != nil {
				return latencies, err
			}
			out = out[:0]
		}
		if err := reader.read(); err != nil {
			return latencies, err
		}
		for {
			told, ok := reader.next()
			if !ok {
				break
			}
			switch told.kind {
			case frameSettings:
				if told.flags&flagAck == 0 {
					out = appendFrame(out, frameSettings, flagAck, 0, nil)
				}
			case frameRstStream, frameGoaway:
				return latencies, fmt.Errorf("frame of type %d for stream %d", told.kind, told.stream)
			case frameHeaders:
				if told.payload[0] != 0x88 {
					return latencies, fmt.Errorf("the answer of stream %d is not 200", told.stream)
				}
			case frameData:
				taken += len(told.payload)
				body[told.stream] += len(told.payload)
				if taken >= windowStep {
					out = appendWindow(out, 0, taken)
					taken = 0
				}
				if told.flags&flagEndStream == 0 {
					break
				}
				if body[told.stream] != smallBodyBytes {
					return latencies, fmt.Errorf("stream %d has %d bytes", told.stream, body[told.stream])
				}
				delete(body, told.stream)
				latencies = append(latencies, time.Since(begun[told.stream]))
				delete(begun, told.stream)
				begin()
			}
		}
	}
	return latencies, nil
}

func downloadHTTP2(to *target, asked *command) (result, error) {
	path := fmt.Sprintf("/bulk?bytes=%d", asked.Bytes)
	return transferHTTP2(to, asked.Bytes, singleBlock(0x82, path, to.Origin), flagEndStream, asked.Bytes, nil)
}

func uploadHTTP2(to *target, asked *command) (result, error) {
	send := func(conn net.Conn) error { return writeData(conn, 1, asked.Bytes) }
	return transferHTTP2(to, asked.Bytes, singleBlock(0x83, "/upload", to.Origin), 0, 0, send)
}

// transferHTTP2 is one exchange on stream 1 of a new connection, whose answer has so many octets.
func transferHTTP2(to *target, count int, block []byte, flags byte, wanted int, send func(net.Conn) error) (result, error) {
	conn, err := to.open()
	if err != nil {
		return result{}, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Time{})
	out := append(slices.Clone(http2Preface), opening()...)
	out = appendFrame(out, frameHeaders, flags|flagEndHeaders, 1, block)
	startedAt := time.Now()
	if _, err := conn.Write(out); err != nil {
		return result{}, err
	}
	sent := make(chan error, 1)
	go func() {
		if send == nil {
			sent <- nil
		} else {
			sent <- send(conn)
		}
	}()
	reader := newFrames(conn)
	got := 0
	for ended := false; !ended; {
		if err := reader.read(); err != nil {
			return result{}, err
		}
		for {
			told, ok := reader.next()
			if !ok {
				break
			}
			if told.kind == frameRstStream || told.kind == frameGoaway {
				return result{}, fmt.Errorf("frame of type %d", told.kind)
			}
			if told.stream != 1 || (told.kind != frameData && told.kind != frameHeaders) {
				continue
			}
			if told.kind == frameData {
				got += len(told.payload)
			}
			ended = ended || told.flags&flagEndStream != 0
		}
	}
	if err := <-sent; err != nil {
		return result{}, err
	}
	if got != wanted {
		return result{}, fmt.Errorf("%d bytes of %d", got, wanted)
	}
	return result{Count: count, Seconds: time.Since(startedAt).Seconds()}, nil
}
