package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"tailscale.com/tailcfg"
	"tailscale.com/tstest/integration/testcontrol"
	"tailscale.com/types/key"
)

// api answers the API v2 of one tailnet. Any credential is accepted.
type api struct {
	control *testcontrol.Server
	tag     string

	sync.Mutex
	devices   map[key.NodePublic]*device
	connected map[key.NodePublic]int
	keys      []*authKey
}

// device is what the test server does not know of a node.
type device struct {
	approved []netip.Prefix
	tags     []string
	created  time.Time
	lastSeen time.Time
	deleted  bool
}

// authKey is an auth key, which one device may use.
type authKey struct {
	ID           string          `json:"id"`
	Key          string          `json:"key,omitempty"`
	Description  string          `json:"description"`
	Invalid      bool            `json:"invalid"`
	Capabilities json.RawMessage `json:"capabilities"`
}

func newAPI(control *testcontrol.Server, tag string) *api {
	a := &api{
		control: control, tag: tag,
		devices: map[key.NodePublic]*device{}, connected: map[key.NodePublic]int{},
	}
	control.HoldMapRequest = func(request *tailcfg.MapRequest) func() {
		if !request.Stream {
			return nil
		}
		a.Lock()
		defer a.Unlock()
		a.connected[request.NodeKey]++
		return func() {
			a.Lock()
			defer a.Unlock()
			a.connected[request.NodeKey]--
			if d := a.devices[request.NodeKey]; d != nil {
				d.lastSeen = time.Now()
			}
		}
	}
	return a
}

// followAdvertisedRoutes tells the peers of a node's routes when the node changes them.
func (a *api) followAdvertisedRoutes() {
	last := map[key.NodePublic]string{}
	for range time.Tick(200 * time.Millisecond) {
		a.Lock()
		for _, node := range a.control.AllNodes() {
			if now := fmt.Sprint(advertised(node)); now != last[node.Key] {
				last[node.Key] = now
				a.publishRoutes(node)
			}
		}
		a.Unlock()
	}
}

// publishRoutes gives the peers the routes that are both advertised and approved.
func (a *api) publishRoutes(node *tailcfg.Node) {
	approved := a.of(node).approved
	both := slices.DeleteFunc(advertised(node), func(route netip.Prefix) bool {
		return !slices.Contains(approved, route)
	})
	a.control.SetSubnetRoutes(node.Key, both)
}

func advertised(node *tailcfg.Node) []netip.Prefix {
	if !node.Hostinfo.Valid() {
		return nil
	}
	return node.Hostinfo.RoutableIPs().AsSlice()
}

// of is the record of a node, which a node gets with the tags of its key.
func (a *api) of(node *tailcfg.Node) *device {
	if known := a.devices[node.Key]; known != nil {
		return known
	}
	d := &device{tags: a.useKey(node.Hostinfo.Hostname()), created: time.Now()}
	a.devices[node.Key] = d
	return d
}

// useKey invalidates the newest key for a host name, and returns its tags.
func (a *api) useKey(hostname string) []string {
	for _, key := range slices.Backward(a.keys) {
		if key.Invalid || key.Description != "stargate "+hostname {
			continue
		}
		key.Invalid = true
		var capabilities struct {
			Devices struct{ Create struct{ Tags []string } }
		}
		if json.Unmarshal(key.Capabilities, &capabilities) == nil {
			return capabilities.Devices.Create.Tags
		}
	}
	return []string{}
}

func (a *api) nodes() []*tailcfg.Node {
	return slices.DeleteFunc(a.control.AllNodes(), func(node *tailcfg.Node) bool {
		return a.of(node).deleted
	})
}

func (a *api) node(id string) *tailcfg.Node {
	for _, node := range a.nodes() {
		if id == string(node.StableID) || id == fmt.Sprint(int64(node.ID)) {
			return node
		}
	}
	return nil
}

func (a *api) shown(node *tailcfg.Node) map[string]any {
	d := a.of(node)
	addresses := []string{}
	for _, address := range node.Addresses {
		addresses = append(addresses, address.Addr().String())
	}
	hostname := node.Hostinfo.Hostname()
	online := a.connected[node.Key] > 0
	shown := map[string]any{
		"id":                 fmt.Sprint(int64(node.ID)),
		"nodeId":             string(node.StableID),
		"hostname":           hostname,
		"name":               hostname + ".lab.ts.net",
		"tags":               d.tags,
		"addresses":          addresses,
		"authorized":         true,
		"keyExpiryDisabled":  len(d.tags) > 0,
		"connectedToControl": online,
		"advertisedRoutes":   texts(advertised(node)),
		"enabledRoutes":      texts(d.approved),
		"created":            d.created.UTC().Format(time.RFC3339),
	}
	if node.Hostinfo.ShieldsUp() {
		shown["blocksIncomingConnections"] = true
	}
	if !online {
		shown["lastSeen"] = d.lastSeen.UTC().Format(time.RFC3339)
	}
	return shown
}

func texts(prefixes []netip.Prefix) []string {
	found := []string{}
	for _, prefix := range prefixes {
		found = append(found, prefix.String())
	}
	return found
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.Lock()
	defer a.Unlock()
	a.nodes() // A device that joined used its key, whether or not anyone has asked for devices.
	path := strings.Split(strings.Trim(strings.TrimPrefix(r.URL.Path, "/api/v2/"), "/"), "/")
	status, body := http.StatusNotFound, any(map[string]string{"message": "not found"})
	switch {
	case len(path) >= 3 && path[0] == "tailnet":
		status, body = a.tailnet(r, path[2:])
	case len(path) >= 2 && path[0] == "device":
		if node := a.node(path[1]); node != nil {
			status, body = a.device(r, node, strings.Join(path[2:], "/"))
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

func (a *api) tailnet(r *http.Request, path []string) (int, any) {
	switch call := r.Method + " " + path[0]; {
	case call == "GET devices":
		list := []any{}
		for _, node := range a.nodes() {
			list = append(list, a.shown(node))
		}
		return http.StatusOK, map[string]any{"devices": list}
	case call == "POST keys":
		return a.createKey(r)
	case call == "GET keys":
		return a.showKeys(path[1:])
	case call == "GET acl":
		owners := map[string][]string{a.tag: {"autogroup:admin"}}
		return http.StatusOK, map[string]any{"tagOwners": owners, "grants": []any{
			map[string]any{"src": []string{"*"}, "dst": []string{"*"}, "ip": []string{"*"}},
		}}
	case call == "POST acl" && slices.Equal(path[1:], []string{"validate"}):
		return http.StatusOK, struct{}{}
	}
	return http.StatusNotFound, map[string]string{"message": "not found"}
}

func (a *api) createKey(r *http.Request) (int, any) {
	made := &authKey{}
	if err := json.NewDecoder(r.Body).Decode(made); err != nil {
		return http.StatusBadRequest, map[string]string{"message": err.Error()}
	}
	made.ID, made.Key = fmt.Sprintf("k%dCNTRL", len(a.keys)+1), ""
	a.keys = append(a.keys, made)
	answer := *made
	answer.Key = "tskey-auth-" + made.ID + "-" + strings.Repeat("0", 32)
	return http.StatusOK, answer
}

func (a *api) showKeys(path []string) (int, any) {
	list := []any{}
	for _, known := range a.keys {
		if len(path) == 1 && known.ID == path[0] {
			return http.StatusOK, known
		}
		if !known.Invalid {
			list = append(list, map[string]string{"id": known.ID})
		}
	}
	if len(path) > 0 {
		return http.StatusNotFound, map[string]string{"message": "not found"}
	}
	return http.StatusOK, map[string]any{"keys": list}
}

func (a *api) device(r *http.Request, node *tailcfg.Node, rest string) (int, any) {
	var body struct {
		Tags   []string
		Routes []netip.Prefix
	}
	if r.Method == http.MethodPost {
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			return http.StatusBadRequest, map[string]string{"message": err.Error()}
		}
	}
	switch r.Method + " " + rest {
	case "GET ":
		return http.StatusOK, a.shown(node)
	case "DELETE ":
		a.delete(node)
	case "POST tags":
		a.of(node).tags = body.Tags
	case "POST authorized", "POST key":
	case "POST routes":
		a.of(node).approved = body.Routes
		a.publishRoutes(node)
		return a.routes(node)
	case "GET routes":
		return a.routes(node)
	default:
		return http.StatusNotFound, map[string]string{"message": "not found"}
	}
	return http.StatusOK, struct{}{}
}

func (a *api) routes(node *tailcfg.Node) (int, any) {
	return http.StatusOK, map[string]any{
		"advertisedRoutes": texts(advertised(node)), "enabledRoutes": texts(a.of(node).approved),
	}
}

// delete logs a device out by the end of its key, since the test server keeps its nodes.
func (a *api) delete(node *tailcfg.Node) {
	a.of(node).deleted = true
	expired := node.Clone()
	expired.KeyExpiry = time.Now().Add(-time.Hour)
	a.control.SetSubnetRoutes(node.Key, nil)
	a.control.UpdateNode(expired)
}
