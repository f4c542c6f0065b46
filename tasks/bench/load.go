package main

// The client: each command names its targets, a way to the origin each (straight or through a proxy's CONNECT,
// with TLS or without), and is answered by what was measured. Every answer of the origin is checked for its
// status and length: a proxy that breaks one ends the benchmark.

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"time"
)

type command struct {
	Scenario    string   `json:"scenario"`
	Targets     []target `json:"targets"`
	Connections int      `json:"connections"`
	Seconds     float64  `json:"seconds"`
	// Requests in all, instead of Seconds.
	Requests int `json:"requests"`
	Bytes    int `json:"bytes"`
	// Streams under way at once on each connection; 0 is HTTP/1.1.
	Streams int `json:"streams"`
	// Window is how many WebSocket messages are under way at once on each connection.
	Window int `json:"window"`
	// Path of the requests of keepalive; empty is the small answer.
	Path string `json:"path"`
}

type target struct {
	// Proxy is host:port, or empty for the straight way.
	Proxy  string `json:"proxy"`
	Origin string `json:"origin"`
	Secure bool   `json:"secure"`
	// CA is the path of the PEM file that the client trusts.
	CA string `json:"ca"`
	// Name is what the certificate has to be for; empty is the origin's host.
	Name string `json:"name"`
	// Tickets are kept by each worker of `connections`, and shown at its next connection.
	Tickets bool `json:"tickets"`

	config *tls.Config
}

type result struct {
	Error   string  `json:"error,omitempty"`
	Count   int     `json:"count"`
	Seconds float64 `json:"seconds"`
	// P50 and P99 are of the time from a request to its whole answer (or of a whole connection).
	P50Ms float64 `json:"p50Ms"`
	P99Ms float64 `json:"p99Ms"`
	// Resumed are those of new connections that went on with an earlier session.
	Resumed int `json:"resumed,omitempty"`
	// TurnP50Ms and TurnP99Ms are each target's, where targets take turns, in their order.
	TurnP50Ms []float64 `json:"turnP50Ms,omitempty"`
	TurnP99Ms []float64 `json:"turnP99Ms,omitempty"`
}

func runLoad() {
	commands := bufio.NewScanner(os.Stdin)
	commands.Buffer(nil, 1<<20)
	for commands.Scan() {
		var asked command
		if err := json.Unmarshal(commands.Bytes(), &asked); err != nil {
			fail(err)
		}
		answer, err := run(&asked)
		if err != nil {
			answer.Error = err.Error()
		}
		printJSON(answer)
	}
}

// held are the connections of `hold`, until `release`.
var held []net.Conn

func run(asked *command) (result, error) {
	for i := range asked.Targets {
		if err := asked.Targets[i].prepare(asked.Streams > 0); err != nil {
			return result{}, err
		}
	}
	switch asked.Scenario {
	case "keepalive":
		if asked.Streams > 0 {
			return keepAliveHTTP2(&asked.Targets[0], asked)
		}
		return keepAlive(&asked.Targets[0], asked)
	case "connections":
		return newConnections(&asked.Targets[0], asked)
	case "download":
		if asked.Streams > 0 {
			return downloadHTTP2(&asked.Targets[0], asked)
		}
		return download(&asked.Targets[0], asked)
	case "upload":
		if asked.Streams > 0 {
			return uploadHTTP2(&asked.Targets[0], asked)
		}
		return upload(&asked.Targets[0], asked)
	case "latency":
		return takeTurns(asked, firstByteTurn)
	case "events":
		return takeTurns(asked, firstEventTurn)
	case "round_trips":
		return takeTurns(asked, roundTripTurn)
	case "messages":
		return echoMessages(&asked.Targets[0], asked)
	case "hold":
		return hold(&asked.Targets[0], asked)
	case "release":
		count := len(held)
		for _, conn := range held {
			conn.Close()
		}
		held = nil
		return result{Count: count}, nil
	}
	return result{}, fmt.Errorf("there is no scenario %q", asked.Scenario)
}

func (t *target) prepare(http2 bool) error {
	if !t.Secure {
		return nil
	}
	pem, err := os.ReadFile(t.CA)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return fmt.Errorf("%s holds no certificate", t.CA)
	}
	host, _, err := net.SplitHostPort(t.Origin)
	if err != nil {
		return err
	}
	if t.Name != "" {
		host = t.Name
	}
	protocol := "http/1.1"
	if http2 {
		protocol = "h2"
	}
	// No session cache: every connection is a full handshake, unless forWorker gives one.
	t.config = &tls.Config{
		RootCAs:                     roots,
		ServerName:                  host,
		NextProtos:                  []string{protocol},
		CurvePreferences:            curves,
		DynamicRecordSizingDisabled: true,
	}
	return nil
}

// forWorker gives each its own tickets: one of TLS 1.3 is good for one connection (RFC 8446 §C.4).
func (t *target) forWorker() *target {
	if t.config == nil || !t.Tickets {
		return t
	}
	own := *t
	own.config = t.config.Clone()
	own.config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	return &own
}

const (
	request    = "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: bench\r\nAccept: */*\r\nAccept-Encoding: %s\r\n\r\n"
	patience   = 60 * time.Second
	readBuffer = 16 << 10
)

// open connects, and is through with CONNECT and TLS when it returns.
func (t *target) open() (net.Conn, error) {
	address := t.Origin
	if t.Proxy != "" {
		address = t.Proxy
	}
	conn, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(patience))
	if t.Proxy != "" {
		if err := connectThrough(conn, t.Origin); err != nil {
			conn.Close()
			return nil, err
		}
	}
	if !t.Secure {
		return conn, nil
	}
	secured := tls.Client(conn, t.config)
	if err := secured.Handshake(); err != nil {
		conn.Close()
		return nil, err
	}
	return secured, nil
}

func connectThrough(conn net.Conn, origin string) error {
	if _, err := fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", origin, origin); err != nil {
		return err
	}
	var buffer [4096]byte
	filled := 0
	for !bytes.Contains(buffer[:filled], headEnd) {
		n, err := conn.Read(buffer[filled:])
		filled += n
		if err != nil {
			return fmt.Errorf("no answer to CONNECT: %w", err)
		}
	}
	if !bytes.HasPrefix(buffer[:filled], []byte("HTTP/1.1 200")) {
		return fmt.Errorf("CONNECT was answered by %q", buffer[:filled])
	}
	// The origin never speaks first.
	if !bytes.HasSuffix(buffer[:filled], headEnd) {
		return errors.New("there are bytes after the answer to CONNECT")
	}
	return nil
}

// exchange sends one request and reads its whole answer; gives when the first byte came.
func exchange(conn net.Conn, wanted []byte, buffer []byte) (time.Time, error) {
	if _, err := conn.Write(wanted); err != nil {
		return time.Time{}, err
	}
	filled, err := conn.Read(buffer)
	firstByteAt := time.Now()
	if err != nil {
		return firstByteAt, err
	}
	head := bytes.Index(buffer[:filled], headEnd)
	for head < 0 {
		n, err := conn.Read(buffer[filled:])
		filled += n
		if err != nil {
			return firstByteAt, err
		}
		head = bytes.Index(buffer[:filled], headEnd)
	}
	if !bytes.HasPrefix(buffer, []byte("HTTP/1.1 200")) {
		return firstByteAt, fmt.Errorf("the answer is %q", buffer[:head])
	}
	left := contentLength(buffer[:head]) - (filled - head - len(headEnd))
	for left > 0 {
		n, err := conn.Read(buffer)
		left -= n
		if err != nil {
			return firstByteAt, err
		}
	}
	if left < 0 {
		return firstByteAt, fmt.Errorf("%d bytes more than the answer's length", -left)
	}
	return firstByteAt, nil
}

func (t *target) smallRequest() []byte {
	return fmt.Appendf(nil, request, "/", t.Origin, "identity")
}

// worker is one connection after the other, or one for all requests; it stops at the deadline or the count.
type meter struct {
	mutex     sync.Mutex
	deadline  time.Time
	left      int
	latencies []time.Duration
	resumed   int
	err       error
}

func newMeter(asked *command) *meter {
	m := &meter{left: asked.Requests}
	if asked.Requests == 0 {
		m.deadline = time.Now().Add(time.Duration(asked.Seconds * float64(time.Second)))
	}
	return m
}

func (m *meter) next() bool {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if m.err != nil {
		return false
	}
	if m.deadline.IsZero() {
		m.left--
		return m.left >= 0
	}
	return time.Now().Before(m.deadline)
}

func (m *meter) done(latencies []time.Duration, err error) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.latencies = append(m.latencies, latencies...)
	if m.err == nil {
		m.err = err
	}
}

func (m *meter) hasResumed(count int) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.resumed += count
}

func (m *meter) result(startedAt time.Time) (result, error) {
	seconds := time.Since(startedAt).Seconds()
	slices.Sort(m.latencies)
	return result{
		Count:   len(m.latencies),
		Seconds: seconds,
		P50Ms:   quantile(m.latencies, 0.5),
		P99Ms:   quantile(m.latencies, 0.99),
		Resumed: m.resumed,
	}, m.err
}

func quantile(sorted []time.Duration, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return float64(sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]) / float64(time.Millisecond)
}

func keepAlive(to *target, asked *command) (result, error) {
	conns, err := openMany(to, asked.Connections)
	defer closeAll(conns)
	if err != nil {
		return result{}, err
	}
	m := newMeter(asked)
	startedAt := time.Now()
	var workers sync.WaitGroup
	for _, conn := range conns {
		workers.Go(func() {
			buffer := make([]byte, readBuffer)
			wanted := to.smallRequest()
			if asked.Path != "" {
				wanted = fmt.Appendf(nil, request, asked.Path, to.Origin, "gzip")
			}
			latencies := make([]time.Duration, 0, 1<<14)
			for m.next() {
				sentAt := time.Now()
				if _, err := exchange(conn, wanted, buffer); err != nil {
					m.done(latencies, err)
					return
				}
				latencies = append(latencies, time.Since(sentAt))
			}
			m.done(latencies, nil)
		})
	}
	workers.Wait()
	return m.result(startedAt)
}

func newConnections(to *target, asked *command) (result, error) {
	m := newMeter(asked)
	startedAt := time.Now()
	var workers sync.WaitGroup
	for range asked.Connections {
		workers.Go(func() {
			buffer := make([]byte, readBuffer)
			wanted := to.smallRequest()
			own := to.forWorker()
			var latencies []time.Duration
			resumed := 0
			defer func() { m.hasResumed(resumed) }()
			for m.next() {
				beganAt := time.Now()
				conn, err := own.open()
				if err == nil {
					if secured, ok := conn.(*tls.Conn); ok && secured.ConnectionState().DidResume {
						resumed++
					}
					_, err = exchange(conn, wanted, buffer)
					conn.Close()
				}
				if err != nil {
					m.done(latencies, err)
					return
				}
				latencies = append(latencies, time.Since(beganAt))
			}
			m.done(latencies, nil)
		})
	}
	workers.Wait()
	return m.result(startedAt)
}

func download(to *target, asked *command) (result, error) {
	conn, err := to.open()
	if err != nil {
		return result{}, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Time{})
	wanted := fmt.Appendf(nil, "GET /bulk?bytes=%d HTTP/1.1\r\nHost: %s\r\n\r\n", asked.Bytes, to.Origin)
	startedAt := time.Now()
	_, err = exchange(conn, wanted, make([]byte, 256<<10))
	return result{Count: asked.Bytes, Seconds: time.Since(startedAt).Seconds()}, err
}

func upload(to *target, asked *command) (result, error) {
	conn, err := to.open()
	if err != nil {
		return result{}, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Time{})
	startedAt := time.Now()
	head := fmt.Appendf(nil, "POST /upload HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n", to.Origin, asked.Bytes)
	if _, err := conn.Write(head); err != nil {
		return result{}, err
	}
	for left := asked.Bytes; left > 0; {
		n := min(left, len(bulkChunk))
		if _, err := conn.Write(bulkChunk[:n]); err != nil {
			return result{}, err
		}
		left -= n
	}
	_, err = exchange(conn, nil, make([]byte, 4<<10))
	return result{Count: asked.Bytes, Seconds: time.Since(startedAt).Seconds()}, err
}

// A turn asks once and tells how long what is measured took. The second function says goodbye.
type turn func() (time.Duration, error)
type prepareTurn func(conn net.Conn, to *target) (turn, func() error, error)

// takeTurns asks the targets by turns, so that whatever slows the machine slows them all.
func takeTurns(asked *command, prepare prepareTurn) (result, error) {
	conns := make([]net.Conn, len(asked.Targets))
	turns := make([]turn, len(conns))
	ends := make([]func() error, len(conns))
	defer func() { closeAll(conns) }()
	for i := range asked.Targets {
		var err error
		if conns[i], err = asked.Targets[i].open(); err == nil {
			turns[i], ends[i], err = prepare(conns[i], &asked.Targets[i])
		}
		if err != nil {
			return result{}, fmt.Errorf("target %d: %w", i, err)
		}
		conns[i].SetDeadline(time.Time{})
	}
	times := make([][]time.Duration, len(conns))
	startedAt := time.Now()
	for range asked.Requests {
		for i, take := range turns {
			took, err := take()
			if err != nil {
				return result{}, fmt.Errorf("target %d: %w", i, err)
			}
			times[i] = append(times[i], took)
		}
	}
	answer := result{Count: asked.Requests * len(conns), Seconds: time.Since(startedAt).Seconds()}
	for i, taken := range times {
		slices.Sort(taken)
		answer.TurnP50Ms = append(answer.TurnP50Ms, quantile(taken, 0.5))
		answer.TurnP99Ms = append(answer.TurnP99Ms, quantile(taken, 0.99))
		if err := ends[i](); err != nil {
			return result{}, fmt.Errorf("target %d: %w", i, err)
		}
	}
	return answer, nil
}

func firstByteTurn(conn net.Conn, to *target) (turn, func() error, error) {
	buffer := make([]byte, readBuffer)
	wanted := to.smallRequest()
	take := func() (time.Duration, error) {
		sentAt := time.Now()
		firstByteAt, err := exchange(conn, wanted, buffer)
		return firstByteAt.Sub(sentAt), err
	}
	return take, func() error { return nil }, nil
}

// hold leaves connections open that each had one exchange.
func hold(to *target, asked *command) (result, error) {
	startedAt := time.Now()
	conns, err := openMany(to, asked.Connections)
	held = append(held, conns...)
	if err != nil {
		return result{}, err
	}
	buffer := make([]byte, readBuffer)
	for _, conn := range conns {
		if _, err := exchange(conn, to.smallRequest(), buffer); err != nil {
			return result{}, err
		}
	}
	return result{Count: len(conns), Seconds: time.Since(startedAt).Seconds()}, nil
}

// openMany opens a few at a time: a burst would measure the listener's backlog.
func openMany(to *target, count int) ([]net.Conn, error) {
	conns := make([]net.Conn, count)
	errs := make([]error, count)
	var workers sync.WaitGroup
	slots := make(chan struct{}, 16)
	for i := range conns {
		slots <- struct{}{}
		workers.Go(func() {
			conns[i], errs[i] = to.open()
			if errs[i] == nil {
				conns[i].SetDeadline(time.Time{})
			}
			<-slots
		})
	}
	workers.Wait()
	return conns, errors.Join(errs...)
}

func closeAll(conns []net.Conn) {
	for _, conn := range conns {
		if conn != nil {
			conn.Close()
		}
	}
}
