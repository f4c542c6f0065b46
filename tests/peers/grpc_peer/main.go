// The gRPC peer of the lanes: grpc-go's own interoperability service as a server, and its cases as a client.
//
//	grpc_peer serve --cert FILE --key FILE [--age TIME]     says "listening PORT", serves TLS until it is killed
//	grpc_peer list                             names each case
//	grpc_peer call --address HOST:PORT --ca FILE CASE...
//
// `call` runs the cases one after the other over one connection and says "ok CASE" for each; a case that fails
// ends the process with its reason. HTTPS_PROXY is honoured as in any program of grpc-go.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/interop"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"

	"soth-mitm.invalid/peers/peer"
)

// Larger than any window and any frame, and than the 4 MiB that grpc-go allows unless told otherwise.
const largeBytes = 8 << 20
const messageBytesMax = 64 << 20

type call func(ctx context.Context, conn *grpc.ClientConn, client pb.TestServiceClient) error

type namedCall struct {
	name string
	run  call
}

// An interoperability case ends the process itself when it fails.
func interopCase(run func(context.Context, pb.TestServiceClient, ...grpc.CallOption)) call {
	return func(ctx context.Context, _ *grpc.ClientConn, client pb.TestServiceClient) error {
		run(ctx, client)
		return nil
	}
}

var cases = []namedCall{
	{"empty_unary", interopCase(interop.DoEmptyUnaryCall)},
	{"large_unary", interopCase(interop.DoLargeUnaryCall)},
	{"client_streaming", interopCase(interop.DoClientStreaming)},
	{"server_streaming", interopCase(interop.DoServerStreaming)},
	{"ping_pong", interopCase(interop.DoPingPong)},
	{"empty_stream", interopCase(interop.DoEmptyStream)},
	{"timeout_on_sleeping_server", interopCase(interop.DoTimeoutOnSleepingServer)},
	{"cancel_after_begin", interopCase(interop.DoCancelAfterBegin)},
	{"cancel_after_first_response", interopCase(interop.DoCancelAfterFirstResponse)},
	{"status_code_and_message", interopCase(interop.DoStatusCodeAndMessage)},
	{"special_status_message", interopCase(interop.DoSpecialStatusMessage)},
	{"custom_metadata", interopCase(interop.DoCustomMetadata)},
	{"unimplemented_method", func(ctx context.Context, conn *grpc.ClientConn, _ pb.TestServiceClient) error {
		interop.DoUnimplementedMethod(ctx, conn)
		return nil
	}},
	{"unimplemented_service", func(ctx context.Context, conn *grpc.ClientConn, _ pb.TestServiceClient) error {
		interop.DoUnimplementedService(ctx, pb.NewUnimplementedServiceClient(conn))
		return nil
	}},
	{"large_messages", largeMessages},
	{"gzip_messages", gzipMessages},
	{"long_bidirectional_stream", longStream},
	{"small_calls_at_once", callsAtOnce(10)},
	{"large_calls_at_once", callsAtOnce(1000)},
	{"response_too_large", responseTooLarge},
}

func largeMessages(ctx context.Context, _ *grpc.ClientConn, client pb.TestServiceClient) error {
	return unary(ctx, client, largeBytes)
}

func gzipMessages(ctx context.Context, _ *grpc.ClientConn, client pb.TestServiceClient) error {
	if err := unary(ctx, client, 1<<20, grpc.UseCompressor(gzip.Name)); err != nil {
		return err
	}
	return pingPong(ctx, client, 20, grpc.UseCompressor(gzip.Name))
}

func longStream(ctx context.Context, _ *grpc.ClientConn, client pb.TestServiceClient) error {
	return pingPong(ctx, client, 2000)
}

// Two hundred calls over one connection, of sizes in `step`s, more than its windows hold where that is large.
func callsAtOnce(step int) call {
	return func(ctx context.Context, _ *grpc.ClientConn, client pb.TestServiceClient) error {
		var group sync.WaitGroup
		failures := make(chan error, 200)
		for i := range 200 {
			group.Go(func() {
				if err := unary(ctx, client, step*i); err != nil {
					failures <- err
				}
			})
		}
		group.Wait()
		close(failures)
		return <-failures
	}
}

// A client that refuses what it gets resets the stream; the connection lives on.
func responseTooLarge(ctx context.Context, _ *grpc.ClientConn, client pb.TestServiceClient) error {
	_, err := client.UnaryCall(ctx, &pb.SimpleRequest{ResponseSize: 1 << 20}, grpc.MaxCallRecvMsgSize(1000))
	if status.Code(err) != codes.ResourceExhausted {
		return fmt.Errorf("a response over the limit gave %v", err)
	}
	return unary(ctx, client, 100)
}

func unary(ctx context.Context, client pb.TestServiceClient, size int, options ...grpc.CallOption) error {
	reply, err := client.UnaryCall(ctx, &pb.SimpleRequest{
		ResponseSize: int32(size),
		Payload:      &pb.Payload{Body: pattern(size)},
	}, options...)
	if err != nil {
		return err
	}
	if got := len(reply.GetPayload().GetBody()); got != size {
		return fmt.Errorf("a response of %d bytes came with %d", size, got)
	}
	return nil
}

func pingPong(ctx context.Context, client pb.TestServiceClient, turns int, options ...grpc.CallOption) error {
	stream, err := client.FullDuplexCall(ctx, options...)
	if err != nil {
		return err
	}
	for turn := range turns {
		size := turn * 37 % 3000
		request := &pb.StreamingOutputCallRequest{
			ResponseParameters: []*pb.ResponseParameters{{Size: int32(size)}},
			Payload:            &pb.Payload{Body: pattern(size)},
		}
		if err := stream.Send(request); err != nil {
			return err
		}
		reply, err := stream.Recv()
		if err != nil {
			return err
		}
		if got := len(reply.GetPayload().GetBody()); got != size {
			return fmt.Errorf("turn %d asked for %d bytes and got %d", turn, size, got)
		}
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	if _, err := stream.Recv(); err != io.EOF {
		return fmt.Errorf("the stream ended with %v", err)
	}
	return nil
}

func pattern(size int) []byte {
	return bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]
}

func serve(args []string) error {
	flags := flag.NewFlagSet("serve", flag.ExitOnError)
	cert := flags.String("cert", "", "the certificate chain, PEM")
	key := flags.String("key", "", "its private key, PEM")
	age := flags.Duration("age", 0, "end each connection by GOAWAY after that time; 0 for never")
	_ = flags.Parse(args)
	creds, err := credentials.NewServerTLSFromFile(*cert, *key)
	if err != nil {
		return err
	}
	listener, err := peer.Listen()
	if err != nil {
		return err
	}
	server := grpc.NewServer(grpc.Creds(creds), grpc.MaxRecvMsgSize(messageBytesMax),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionAge: *age}))
	pb.RegisterTestServiceServer(server, interop.NewTestServer())
	reflection.Register(server)
	peer.Say(listener.Addr())
	return server.Serve(listener)
}

func runCases(args []string) error {
	flags := flag.NewFlagSet("call", flag.ExitOnError)
	address := flags.String("address", "", "the server, HOST:PORT")
	ca := flags.String("ca", "", "the roots, PEM")
	_ = flags.Parse(args)
	creds, err := credentials.NewClientTLSFromFile(*ca, "")
	if err != nil {
		return err
	}
	// Its own default scheme, dns, leaves the name to a proxy.
	conn, err := grpc.NewClient(*address, grpc.WithTransportCredentials(creds),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(messageBytesMax)))
	if err != nil {
		return err
	}
	defer conn.Close()
	client := pb.NewTestServiceClient(conn)
	for _, name := range flags.Args() {
		found := false
		for _, one := range cases {
			if one.name != name {
				continue
			}
			found = true
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			err := one.run(ctx, conn, client)
			cancel()
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			fmt.Println("ok", name)
		}
		if !found {
			return fmt.Errorf("unknown case %s", name)
		}
	}
	return nil
}

func main() {
	usage := fmt.Errorf("usage: grpc_peer serve|list|call …")
	err := usage
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "serve":
			err = serve(os.Args[2:])
		case "call":
			err = runCases(os.Args[2:])
		case "list":
			err = nil
			for _, one := range cases {
				fmt.Println(one.name)
			}
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "grpc_peer:", err)
		os.Exit(1)
	}
}
