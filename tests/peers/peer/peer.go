// Package peer has what the servers of the lanes have in common.
package peer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
)

// Say tells on standard output which ports are listened on, as tests/support/server_process.ts reads it.
func Say(addresses ...net.Addr) {
	said := "listening"
	for _, address := range addresses {
		_, port, _ := net.SplitHostPort(address.String())
		said += " " + port
	}
	fmt.Println(said)
}

// Listen takes a free port of the loopback interface.
func Listen() (net.Listener, error) {
	return net.Listen("tcp", "127.0.0.1:0")
}

// Serve serves over TLS and in the clear, on a port each, until one of the two fails.
func Serve(server *http.Server, cert, key string) error {
	secure, err := Listen()
	if err != nil {
		return err
	}
	plain, err := Listen()
	if err != nil {
		return err
	}
	Say(secure.Addr(), plain.Addr())
	ended := make(chan error, 2)
	go func() { ended <- server.ServeTLS(secure, cert, key) }()
	go func() { ended <- server.Serve(plain) }()
	return errors.Join(<-ended, server.Shutdown(context.Background()))
}

// Pattern gives bytes each of which tells its offset.
func Pattern(count int) []byte {
	data := make([]byte, count)
	for i := range data {
		data[i] = byte(i*31 + (i>>8)*17 + (i >> 16))
	}
	return data
}

// Number is the {n} in the path of a request; 0 where it is none.
func Number(request *http.Request) int {
	n, err := strconv.Atoi(request.PathValue("n"))
	if err != nil || n < 0 || n > 1<<30 {
		return 0
	}
	return n
}

// Digest answers with the size and the SHA-256 of the request body.
func Digest(writer http.ResponseWriter, request *http.Request) {
	hash := sha256.New()
	count, err := io.Copy(hash, request.Body)
	if err != nil {
		return
	}
	_ = json.NewEncoder(writer).Encode(map[string]any{"bytes": count, "sha256": hex.EncodeToString(hash.Sum(nil))})
}
