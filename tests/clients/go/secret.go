package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	secret "github.com/envoyproxy/go-control-plane/envoy/service/secret/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
)

// Asks for one secret over mTLS, as an SDS client in delta does: ADDRESS CA CERTIFICATE KEY NODE CLUSTER NAME. One line says what
// came of it: `given NAMES`, `removed NAMES`, or `error CODE`.
func askSecret(args []string) {
	answer, err := delta(args)
	if err != nil {
		words := regexp.MustCompile("([a-z])([A-Z])").ReplaceAllString(status.Code(err).String(), "${1}_$2")
		fmt.Println("error", strings.ToUpper(words))
		return
	}
	var given []string
	for _, resource := range answer.Resources {
		given = append(given, resource.Name)
	}
	if len(given) > 0 {
		fmt.Println("given", strings.Join(given, " "))
		return
	}
	fmt.Println("removed", strings.Join(answer.RemovedResources, " "))
}

func delta(args []string) (*discovery.DeltaDiscoveryResponse, error) {
	address, ca, certificate, key, node, cluster, name := args[0], args[1], args[2], args[3], args[4], args[5], args[6]
	own, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(ca)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	channel, err := grpc.NewClient(address, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{own},
		RootCAs:      roots,
	})))
	if err != nil {
		return nil, err
	}
	defer channel.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	stream, err := secret.NewSecretDiscoveryServiceClient(channel).DeltaSecrets(ctx)
	if err != nil {
		return nil, err
	}
	// A stream that was ended says why when it is read.
	_ = stream.Send(&discovery.DeltaDiscoveryRequest{
		Node:                   &core.Node{Id: node, Cluster: cluster},
		TypeUrl:                "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
		ResourceNamesSubscribe: []string{name},
	})
	return stream.Recv()
}
