// Tailscale's own Go client: one change of a tailnet.
//
//	tailnet BASE CERTIFICATE COMMAND [HOST NAME] [ARGUMENT…]
//
// The API access token is in TAILSCALE_API_KEY.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	tailscale "tailscale.com/client/tailscale/v2"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	if len(arguments) < 3 {
		return errors.New("usage: tailnet BASE CERTIFICATE COMMAND [HOST NAME] [ARGUMENT…]")
	}
	client, err := connect(arguments[0], arguments[1])
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	command, rest := arguments[2], arguments[3:]
	if command == "policy" {
		return policy(ctx, client, rest)
	}
	if len(rest) == 0 {
		return fmt.Errorf("%s needs the host name of a device", command)
	}
	device, err := find(ctx, client, rest[0])
	if err != nil {
		return err
	}
	return change(ctx, client, device, command, rest[1:])
}

func connect(base, certificate string) (*tailscale.Client, error) {
	address, err := url.Parse(base)
	if err != nil {
		return nil, err
	}
	pem, err := os.ReadFile(certificate)
	if err != nil {
		return nil, err
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(pem)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}}
	return &tailscale.Client{
		BaseURL: address,
		APIKey:  os.Getenv("TAILSCALE_API_KEY"),
		HTTP:    &http.Client{Timeout: 30 * time.Second, Transport: transport},
		Tailnet: "-",
	}, nil
}

func find(ctx context.Context, client *tailscale.Client, host string) (tailscale.Device, error) {
	devices, err := client.Devices().ListWithAllFields(ctx)
	if err != nil {
		return tailscale.Device{}, err
	}
	for _, device := range devices {
		if device.Hostname == host {
			return device, nil
		}
	}
	return tailscale.Device{}, fmt.Errorf("no device has the host name %s", host)
}

func change(
	ctx context.Context,
	client *tailscale.Client,
	device tailscale.Device,
	command string,
	rest []string,
) error {
	devices := client.Devices()
	switch command {
	case "show":
		fmt.Printf("%+v\n", device)
		return nil
	case "delete":
		return devices.Delete(ctx, device.NodeID)
	case "approve":
		return devices.SetSubnetRoutes(ctx, device.NodeID, append(device.EnabledRoutes, rest...))
	case "withdraw":
		return devices.SetSubnetRoutes(ctx, device.NodeID, without(device.EnabledRoutes, rest))
	case "withdraw-all":
		return devices.SetSubnetRoutes(ctx, device.NodeID, []string{})
	case "authorize":
		return devices.SetAuthorized(ctx, device.NodeID, true)
	case "deauthorize":
		return devices.SetAuthorized(ctx, device.NodeID, false)
	case "tag":
		return devices.SetTags(ctx, device.NodeID, append(device.Tags, rest...))
	case "tags":
		return devices.SetTags(ctx, device.NodeID, rest)
	case "rename":
		return devices.SetName(ctx, device.NodeID, rest[0])
	case "expiry-on":
		return devices.SetKey(ctx, device.NodeID, tailscale.DeviceKey{KeyExpiryDisabled: false})
	default:
		return fmt.Errorf("unknown command %s", command)
	}
}

func without(all, removed []string) []string {
	kept := []string{}
	for _, one := range all {
		if !strings.Contains(" "+strings.Join(removed, " ")+" ", " "+one+" ") {
			kept = append(kept, one)
		}
	}
	return kept
}

// policy replaces text in the policy file: policy OLD NEW.
func policy(ctx context.Context, client *tailscale.Client, rest []string) error {
	found, err := client.PolicyFile().Raw(ctx)
	if err != nil {
		return err
	}
	if len(rest) < 2 {
		fmt.Println(found.HuJSON)
		return nil
	}
	if !strings.Contains(found.HuJSON, rest[0]) {
		return fmt.Errorf("the policy does not contain %q:\n%s", rest[0], found.HuJSON)
	}
	changed := strings.ReplaceAll(found.HuJSON, rest[0], rest[1])
	return client.PolicyFile().Set(ctx, changed, found.ETag)
}
