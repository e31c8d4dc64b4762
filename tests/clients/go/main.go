// Calls `chancery.test.Backend/Name` at the target given, ten times a second, until it is killed. A line per call:
// `ok NAME`, or `error CODE MESSAGE`. With `secret` first it asks for one secret: see secret.go.
package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	_ "google.golang.org/grpc/xds"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

func main() {
	if os.Args[1] == "secret" {
		askSecret(os.Args[2:])
		return
	}
	fmt.Println("version grpc-go", grpc.Version)
	client, err := grpc.NewClient(os.Args[1], grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for {
		call(client)
		time.Sleep(100 * time.Millisecond)
	}
}

func call(client *grpc.ClientConn) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var name wrapperspb.StringValue
	if err := client.Invoke(ctx, "/chancery.test.Backend/Name", &emptypb.Empty{}, &name); err != nil {
		failed := status.Convert(err)
		fmt.Println("error", failed.Code(), strings.Join(strings.Fields(failed.Message()), " "))
		return
	}
	fmt.Println("ok", name.GetValue())
}
