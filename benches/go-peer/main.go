// A control plane on go-control-plane, which reads commands on its standard input and ends at its end.
//
//	go-peer snapshot   SnapshotCache, one snapshot object shared by all groups; a node is in the group of its cluster
//	go-peer linear     LinearCache, of clusters, one for all nodes
//	go-peer version    prints the versions of Go and of the modules
//
// It prints its address, then a reply per command, each after its length in four bytes. Commands and replies are the
// messages Command and Reply of ../harness/src/wire.rs.
package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"github.com/envoyproxy/go-control-plane/pkg/log"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	// The published types.
	_ "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
)

const (
	opReplace = 0
	opPatch   = 1
	opTrim    = 2
)

// A command with its decoded resources.
type command struct {
	op        uint64
	groups    []string
	version   string
	resources []*discovery.Resource
}

// A publisher into a cache; the time is that of the cache's own call.
type publisher interface {
	publish(command) (time.Duration, error)
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "go-peer:", err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) != 2 {
		return fmt.Errorf("usage: go-peer snapshot|linear|version")
	}
	var source cache.Cache
	var target publisher
	switch os.Args[1] {
	case "version":
		fmt.Println(version())
		return nil
	case "snapshot":
		snapshots := cache.NewSnapshotCache(false, byCluster{}, log.NewDefaultLogger())
		source, target = snapshots, newSnapshots(snapshots)
	case "linear":
		linear := cache.NewLinearCache(resource.ClusterType, cache.WithLogger(log.NewDefaultLogger()))
		source, target = linear, linearPublisher{linear}
	default:
		return fmt.Errorf("unknown cache %q", os.Args[1])
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	serving := grpc.NewServer(
		grpc.MaxConcurrentStreams(100000),
		grpc.MaxRecvMsgSize(64<<20),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
	)
	discovery.RegisterAggregatedDiscoveryServiceServer(serving, server.NewServer(context.Background(), source, nil))
	go func() {
		if err := serving.Serve(listener); err != nil {
			fmt.Fprintln(os.Stderr, "go-peer:", err)
			os.Exit(1)
		}
	}()
	return obey(listener.Addr(), target)
}

// version names Go and the relevant modules.
func version() string {
	text := runtime.Version()
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, module := range info.Deps {
			switch module.Path {
			case "github.com/envoyproxy/go-control-plane":
				text += ", go-control-plane " + module.Version
			case "google.golang.org/grpc":
				text += ", grpc-go " + module.Version
			}
		}
	}
	return text
}

// obey reads commands until the end of the input.
func obey(address net.Addr, target publisher) error {
	input, output := bufio.NewReaderSize(os.Stdin, 1<<16), bufio.NewWriter(os.Stdout)
	fmt.Fprintf(output, "listening on %s\n", address)
	for {
		if err := output.Flush(); err != nil {
			return err
		}
		var size uint32
		if err := binary.Read(input, binary.BigEndian, &size); err != nil {
			return nil
		}
		bytes := make([]byte, size)
		if _, err := io.ReadFull(input, bytes); err != nil {
			return err
		}
		took, err := execute(bytes, target)
		var reply []byte
		if err != nil {
			reply = protowire.AppendTag(reply, 1, protowire.BytesType)
			reply = protowire.AppendString(reply, err.Error())
		}
		reply = protowire.AppendTag(reply, 2, protowire.VarintType)
		reply = protowire.AppendVarint(reply, uint64(took.Microseconds()))
		if err := binary.Write(output, binary.BigEndian, uint32(len(reply))); err != nil {
			return err
		}
		if _, err := output.Write(reply); err != nil {
			return err
		}
	}
}

func execute(bytes []byte, target publisher) (time.Duration, error) {
	order, err := decode(bytes)
	if err != nil {
		return 0, err
	}
	if order.op == opTrim {
		debug.FreeOSMemory()
		return 0, nil
	}
	return target.publish(order)
}

func decode(bytes []byte) (command, error) {
	var order command
	for len(bytes) > 0 {
		number, kind, n := protowire.ConsumeTag(bytes)
		if n < 0 {
			return order, protowire.ParseError(n)
		}
		bytes = bytes[n:]
		switch {
		case number == 1 && kind == protowire.VarintType:
			order.op, n = protowire.ConsumeVarint(bytes)
		case number == 2 && kind == protowire.BytesType:
			var group string
			group, n = protowire.ConsumeString(bytes)
			order.groups = append(order.groups, group)
		case number == 3 && kind == protowire.BytesType:
			order.version, n = protowire.ConsumeString(bytes)
		case number == 4 && kind == protowire.BytesType:
			var one []byte
			one, n = protowire.ConsumeBytes(bytes)
			if n >= 0 {
				item := &discovery.Resource{}
				if err := proto.Unmarshal(one, item); err != nil {
					return order, err
				}
				order.resources = append(order.resources, item)
			}
		default:
			n = protowire.ConsumeFieldValue(number, kind, bytes)
		}
		if n < 0 {
			return order, protowire.ParseError(n)
		}
		bytes = bytes[n:]
	}
	return order, nil
}

// unpacked returns the resources in the form of the caches, by type and name.
func unpacked(order command) (map[string]map[string]types.Resource, error) {
	byType := make(map[string]map[string]types.Resource)
	for _, item := range order.resources {
		message, err := item.GetResource().UnmarshalNew()
		if err != nil {
			return nil, err
		}
		url := item.GetResource().GetTypeUrl()
		if byType[url] == nil {
			byType[url] = make(map[string]types.Resource)
		}
		byType[url][item.GetName()] = message
	}
	return byType, nil
}

// byCluster puts a node into the group of its cluster.
type byCluster struct{}

func (byCluster) ID(node *core.Node) string { return node.GetCluster() }

// The state of several groups, which share one snapshot object.
type shared struct {
	resources map[string]map[string]types.Resource
	versions  map[string]string
}

type snapshotPublisher struct {
	cache cache.SnapshotCache
	// Keyed by the first group of a publish.
	contents map[string]*shared
}

func newSnapshots(snapshots cache.SnapshotCache) *snapshotPublisher {
	return &snapshotPublisher{cache: snapshots, contents: make(map[string]*shared)}
}

func (p *snapshotPublisher) publish(order command) (time.Duration, error) {
	byType, err := unpacked(order)
	if err != nil {
		return 0, err
	}
	content := p.contents[order.groups[0]]
	if content == nil || order.op == opReplace {
		content = &shared{resources: make(map[string]map[string]types.Resource), versions: make(map[string]string)}
		p.contents[order.groups[0]] = content
	}
	for url, resources := range byType {
		if content.resources[url] == nil {
			content.resources[url] = make(map[string]types.Resource)
		}
		for name, message := range resources {
			content.resources[url][name] = message
		}
		content.versions[url] = order.version
	}
	begun := time.Now()
	snapshot := &cache.Snapshot{}
	for url, resources := range content.resources {
		list := make([]types.Resource, 0, len(resources))
		for _, message := range resources {
			list = append(list, message)
		}
		snapshot.Resources[cache.GetResponseType(url)] = cache.NewResources(content.versions[url], list)
	}
	for _, group := range order.groups {
		if err := p.cache.SetSnapshot(context.Background(), group, snapshot); err != nil {
			return 0, err
		}
	}
	return time.Since(begun), nil
}

type linearPublisher struct{ cache *cache.LinearCache }

func (p linearPublisher) publish(order command) (time.Duration, error) {
	byType, err := unpacked(order)
	if err != nil {
		return 0, err
	}
	clusters := byType[resource.ClusterType]
	if len(byType) > 1 || len(clusters) == 0 {
		return 0, fmt.Errorf("a linear cache here is of clusters only")
	}
	begun := time.Now()
	if order.op == opReplace {
		p.cache.SetResources(clusters)
	} else if err := p.cache.UpdateResources(clusters, nil); err != nil {
		return 0, err
	}
	return time.Since(begun), nil
}
