// control is the lab's control server: Tailscale's own test server with DERP and STUN,
// and in front of it the calls of the API v2 that stargate makes.
//
// What the test server does not model is added here: keys with tags, approval of routes
// apart from their advertisement, connected devices, deletion. Its protocol with
// tailscaled is encrypted, so a key is not checked when a device joins: the device gets
// the tags of the key that was created for its host name.
package main

import (
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"

	"tailscale.com/derp/derpserver"
	"tailscale.com/net/stunserver"
	"tailscale.com/tailcfg"
	"tailscale.com/tstest/integration/testcontrol"
	"tailscale.com/types/key"
)

// The ports of the relay and of STUN, beside the control server's own.
const (
	derpPort = 3340
	stunPort = 3478
)

func main() {
	address := flag.String("address", "192.0.2.1", "address to listen on")
	name := flag.String("name", "controlplane.tailscale.com", "name of the server in its certificate")
	certificate := flag.String("certificate", "", "file with the certificate")
	privateKey := flag.String("key", "", "file with the certificate's key")
	tag := flag.String("tag", "", "tag that has an owner")
	flag.Parse()

	serveRelay(*address, *certificate, *privateKey)
	control := &testcontrol.Server{
		ExplicitBaseURL:  "https://" + *name,
		AllOnline:        true,
		AllNodesSameUser: true,
		DERPMap:          relayMap(*address, *name),
		DNSConfig:        &tailcfg.DNSConfig{},
		Logf:             log.Printf,
	}
	api := newAPI(control, *tag)
	go api.followAdvertisedRoutes()
	mux := http.NewServeMux()
	mux.Handle("/api/v2/", api)
	mux.Handle("/", control)
	listener, err := net.Listen("tcp", net.JoinHostPort(*address, "443"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("ready")
	log.Fatal(http.ServeTLS(listener, mux, *certificate, *privateKey))
}

// relayMap has one region: without one, tailscaled does not start.
func relayMap(address, name string) *tailcfg.DERPMap {
	node := &tailcfg.DERPNode{
		Name: "1a", RegionID: 1, HostName: name, IPv4: address, IPv6: "none",
		DERPPort: derpPort, STUNPort: stunPort, STUNTestIP: address,
	}
	region := &tailcfg.DERPRegion{
		RegionID: 1, RegionCode: "lab", RegionName: "lab", Nodes: []*tailcfg.DERPNode{node},
	}
	return &tailcfg.DERPMap{Regions: map[int]*tailcfg.DERPRegion{1: region}}
}

func serveRelay(address, certificate, privateKey string) {
	relay := &http.Server{
		Addr:    net.JoinHostPort(address, fmt.Sprint(derpPort)),
		Handler: derpserver.Handler(derpserver.New(key.NewNode(), log.Printf)),
		// Connections are upgraded, which HTTP/2 does not allow.
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
	}
	go func() { log.Fatal(relay.ListenAndServeTLS(certificate, privateKey)) }()
	stun := stunserver.New(context.Background())
	if err := stun.Listen(net.JoinHostPort(address, fmt.Sprint(stunPort))); err != nil {
		log.Fatal(err)
	}
	go stun.Serve()
}
