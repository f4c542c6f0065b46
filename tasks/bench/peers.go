// The two ends of the benchmark: the origin that is asked and the client that asks, in a language fast enough
// that the proxy between them is what gets measured. Standard library only; built by tasks/bench.ts.
//
//	peers origin CERT KEY     an HTTP/1.1 origin on TCP, with HTTP/2 on TLS; its ports as a JSON line on stdout
//	peers load                runs the commands it reads as JSON lines from stdin, answers each by a JSON line
//	peers usage               reads process ids from stdin, answers each by a JSON line: CPU time and memory
//
// All end when stdin does, so that none is left behind when the benchmark is killed.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
)

func main() {
	// One core each at most: what they take beyond that, on a small machine they take from the proxy.
	runtime.GOMAXPROCS(1)
	switch {
	case len(os.Args) == 4 && os.Args[1] == "origin":
		runOrigin(os.Args[2], os.Args[3])
	case len(os.Args) == 2 && os.Args[1] == "load":
		runLoad()
	case len(os.Args) == 2 && os.Args[1] == "usage":
		runUsage()
	default:
		fail(fmt.Errorf("usage: peers origin CERT KEY | peers load | peers usage"))
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "peers:", err)
	os.Exit(1)
}

func printJSON(value any) {
	if err := json.NewEncoder(os.Stdout).Encode(value); err != nil {
		fail(err)
	}
}
