package main

// WebSockets (RFC 6455) as the benchmark needs them: whole messages in single frames, both ends. Each end writes
// all it has to say to what it has read at once, as programs under load do.

import (
	"bytes"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"
)

const (
	opcodeText   = 1
	opcodeClose  = 8
	messageBytes = 1024
)

var message = oneMessage(messageBytes)

// oneMessage is JSON, as most that is said over WebSockets.
func oneMessage(length int) []byte {
	const start, end = `{"type":"message","id":42,"from":"bench","text":"`, `"}`
	words := strings.Repeat("what one side says to the other, ", 1+length/32)
	return []byte(start + words[:length-len(start)-len(end)] + end)
}

// appendSocketFrame appends a final frame; masked where it is the client's.
func appendSocketFrame(to []byte, opcode byte, payload []byte, mask *[4]byte) []byte {
	masked := byte(0)
	if mask != nil {
		masked = 0x80
	}
	to = append(to, 0x80|opcode)
	if len(payload) < 126 {
		to = append(to, masked|byte(len(payload)))
	} else {
		to = binary.BigEndian.AppendUint16(append(to, masked|126), uint16(len(payload)))
	}
	if mask == nil {
		return append(to, payload...)
	}
	to = append(to, mask[:]...)
	start := len(to)
	to = append(to, payload...)
	applyMask(to[start:], mask[:])
	return to
}

func applyMask(payload, mask []byte) {
	whole := uint64(binary.LittleEndian.Uint32(mask))
	whole |= whole << 32
	at := 0
	for ; at+8 <= len(payload); at += 8 {
		binary.LittleEndian.PutUint64(payload[at:], binary.LittleEndian.Uint64(payload[at:])^whole)
	}
	for ; at < len(payload); at++ {
		payload[at] ^= mask[at&3]
	}
}

// socketFrames reads frames of less than 64 KiB; payloads are valid until the next fill.
type socketFrames struct {
	conn   net.Conn
	buffer []byte
	start  int
	end    int
}

func newSocketFrames(conn net.Conn, read []byte) *socketFrames {
	f := &socketFrames{conn: conn, buffer: make([]byte, 128<<10)}
	f.end = copy(f.buffer, read)
	return f
}

func (f *socketFrames) fill() error {
	f.end = copy(f.buffer, f.buffer[f.start:f.end])
	f.start = 0
	n, err := f.conn.Read(f.buffer[f.end:])
	f.end += n
	if n > 0 {
		return nil
	}
	return err
}

// next gives the next frame if all of it has been read.
func (f *socketFrames) next() (opcode byte, payload []byte, ok bool) {
	data := f.buffer[f.start:f.end]
	if len(data) < 2 {
		return 0, nil, false
	}
	length, at := int(data[1]&0x7f), 2
	if length == 126 {
		if len(data) < 4 {
			return 0, nil, false
		}
		length, at = int(binary.BigEndian.Uint16(data[2:])), 4
	}
	var mask []byte
	if data[1]&0x80 != 0 {
		if len(data) < at+4 {
			return 0, nil, false
		}
		mask = data[at : at+4]
		at += 4
	}
	if len(data) < at+length {
		return 0, nil, false
	}
	payload = data[at : at+length]
	if mask != nil {
		applyMask(payload, mask)
	}
	f.start += at + length
	return data[0] & 0x0f, payload, true
}

func acceptOf(key string) string {
	digest := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(digest[:])
}

// serveWebSocket sends everything back until a close frame, and that too.
func serveWebSocket(conn net.Conn, request, read []byte) {
	_, rest, _ := bytes.Cut(request, []byte("\r\nSec-WebSocket-Key: "))
	key, _, _ := bytes.Cut(rest, []byte("\r\n"))
	answer := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Accept: " + acceptOf(string(key)) + "\r\n\r\n"
	if _, err := conn.Write([]byte(answer)); err != nil {
		return
	}
	incoming := newSocketFrames(conn, read)
	var out []byte
	for {
		out = out[:0]
		over := false
		for !over {
			opcode, payload, ok := incoming.next()
			if !ok {
				break
			}
			out = appendSocketFrame(out, opcode, payload, nil)
			over = opcode == opcodeClose
		}
		if len(out) > 0 {
			if _, err := conn.Write(out); err != nil {
				return
			}
		}
		if over || incoming.fill() != nil {
			return
		}
	}
}

// webSocket is the client's end.
type webSocket struct {
	conn     net.Conn
	incoming *socketFrames
	mask     [4]byte
	// said is the message, framed.
	said []byte
}

func openWebSocket(conn net.Conn, to *target) (*webSocket, error) {
	w := &webSocket{conn: conn}
	var random [16]byte
	rand.Read(random[:])
	rand.Read(w.mask[:])
	key := base64.StdEncoding.EncodeToString(random[:])
	_, err := fmt.Fprintf(conn, "GET /echo HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n\r\n", to.Origin, key)
	if err != nil {
		return nil, err
	}
	var buffer [4096]byte
	filled := 0
	for !bytes.HasSuffix(buffer[:filled], headEnd) {
		n, err := conn.Read(buffer[filled:])
		filled += n
		if err != nil {
			return nil, fmt.Errorf("no answer to the upgrade: %w", err)
		}
	}
	head := string(buffer[:filled])
	if !strings.HasPrefix(head, "HTTP/1.1 101") || !strings.Contains(head, acceptOf(key)) {
		return nil, fmt.Errorf("the upgrade was answered by %q", head)
	}
	w.incoming = newSocketFrames(conn, nil)
	w.said = appendSocketFrame(nil, opcodeText, message, &w.mask)
	return w, nil
}

// send sends the message so many times.
func (w *webSocket) send(count int) error {
	_, err := w.conn.Write(bytes.Repeat(w.said, count))
	return err
}

// receive waits for at least one message and gives how many there are.
func (w *webSocket) receive() (int, error) {
	for count := 0; ; {
		opcode, payload, ok := w.incoming.next()
		switch {
		case ok && (opcode != opcodeText || !bytes.Equal(payload, message)):
			return count, fmt.Errorf("frame of opcode %d with %d bytes is not what was sent", opcode, len(payload))
		case ok:
			count++
		case count > 0:
			return count, nil
		default:
			if err := w.incoming.fill(); err != nil {
				return 0, err
			}
		}
	}
}

// close says goodbye, and waits for the answer and the end.
func (w *webSocket) close() error {
	w.conn.SetDeadline(time.Now().Add(patience))
	if _, err := w.conn.Write(appendSocketFrame(nil, opcodeClose, []byte{0x03, 0xe8}, &w.mask)); err != nil {
		return err
	}
	for answered := false; ; {
		opcode, _, ok := w.incoming.next()
		if ok {
			if opcode != opcodeClose {
				return fmt.Errorf("a frame of opcode %d comes after the last message", opcode)
			}
			answered = true
			continue
		}
		if err := w.incoming.fill(); err != nil {
			if answered && errors.Is(err, io.EOF) {
				return w.conn.Close()
			}
			return fmt.Errorf("instead of the end of a WebSocket: %w", err)
		}
	}
}

func roundTripTurn(conn net.Conn, to *target) (turn, func() error, error) {
	w, err := openWebSocket(conn, to)
	if err != nil {
		return nil, nil, err
	}
	take := func() (time.Duration, error) {
		sentAt := time.Now()
		if err := w.send(1); err != nil {
			return 0, err
		}
		count, err := w.receive()
		took := time.Since(sentAt)
		if err == nil && count != 1 {
			err = fmt.Errorf("%d messages came for one", count)
		}
		return took, err
	}
	return take, w.close, nil
}

// echoMessages keeps a window of messages under way on each connection: for those that come back it sends new ones.
func echoMessages(to *target, asked *command) (result, error) {
	conns, err := openMany(to, asked.Connections)
	defer closeAll(conns)
	if err != nil {
		return result{}, err
	}
	sockets := make([]*webSocket, len(conns))
	for i, conn := range conns {
		if sockets[i], err = openWebSocket(conn, to); err != nil {
			return result{}, err
		}
	}
	m := newMeter(asked)
	startedAt := time.Now()
	counts := make([]int, len(sockets))
	errs := make([]error, len(sockets))
	var workers sync.WaitGroup
	for i, socket := range sockets {
		workers.Go(func() { counts[i], errs[i] = socket.echoUntil(m, asked.Window) })
	}
	workers.Wait()
	answer := result{Seconds: time.Since(startedAt).Seconds()}
	for i, socket := range sockets {
		answer.Count += counts[i]
		if errs[i] == nil {
			errs[i] = socket.close()
		}
	}
	return answer, errors.Join(errs...)
}

func (w *webSocket) echoUntil(m *meter, window int) (int, error) {
	if err := w.send(window); err != nil {
		return 0, err
	}
	received := 0
	for underWay := window; underWay > 0; {
		count, err := w.receive()
		received += count
		underWay -= count
		if err != nil {
			return received, err
		}
		if m.next() {
			if err := w.send(count); err != nil {
				return received, err
			}
			underWay += count
		}
	}
	return received, nil
}
