// client-go and controller-runtime against the sandbox's API server.
//
//	kubernetes KUBECONFIG
//
// client-go sends protobuf for built-in kinds, as controllers do.
package main

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	core "k8s.io/api/core/v1"
	policy "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/klog/v2"
	control "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	metrics "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

const space = "default"

var passed, failed int

func check(claim string, err error) bool {
	if err != nil {
		failed++
		fmt.Fprintf(os.Stderr, "FAILED: %s: %v\n", claim, err)
		return false
	}
	passed++
	return true
}

func that(claim string, holds bool, seen any) {
	if holds {
		passed++
		return
	}
	check(claim, fmt.Errorf("saw %v", seen))
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: kubernetes KUBECONFIG")
		os.Exit(64)
	}
	config, err := clientcmd.BuildConfigFromFlags("", os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	log.SetLogger(logr.Discard())
	klog.SetLogger(logr.Discard())
	typed(ctx, config)
	elections(ctx, config)
	controllers(ctx, config)
	if failed > 0 {
		fmt.Fprintf(os.Stderr, "%d of %d checks failed\n", failed, passed+failed)
		os.Exit(1)
	}
	fmt.Printf("%d checks passed\n", passed)
}

// typed uses the typed client of client-go.
func typed(ctx context.Context, config *rest.Config) {
	config = rest.CopyConfig(config)
	config.ContentType = "application/vnd.kubernetes.protobuf"
	config.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	clients, err := kubernetes.NewForConfig(config)
	if !check("a client is made", err) {
		return
	}
	nodes, err := clients.CoreV1().Nodes().List(ctx, meta.ListOptions{})
	if check("nodes are listed", err) {
		that("there are nodes with addresses", len(nodes.Items) > 0 && len(nodes.Items[0].Status.Addresses) > 0, nodes)
	}
	daemons, err := clients.AppsV1().DaemonSets("").List(ctx, meta.ListOptions{})
	if check("DaemonSets are listed", err) {
		that("Goldpinger is among them", len(daemons.Items) > 0, daemons)
	}
	informed(ctx, clients)
	maps := clients.CoreV1().ConfigMaps(space)
	made, err := maps.Create(ctx, configMap("typed"), meta.CreateOptions{})
	if !check("a ConfigMap is created", err) {
		return
	}
	_, err = maps.Create(ctx, configMap("typed"), meta.CreateOptions{})
	that("a second one of this name exists already", errors.IsAlreadyExists(err), err)
	stale := made.DeepCopy()
	made.Data["word"] = "second"
	made, err = maps.Update(ctx, made, meta.UpdateOptions{})
	check("it is updated", err)
	_, err = maps.Update(ctx, stale, meta.UpdateOptions{})
	that("an old version conflicts", errors.IsConflict(err), err)
	patch := []byte(`{"data":{"more":"x"}}`)
	made, err = maps.Patch(ctx, "typed", types.StrategicMergePatchType, patch, meta.PatchOptions{})
	if check("it is patched", err) {
		that("the patch merges", made.Data["word"] == "second" && made.Data["more"] == "x", made.Data)
	}
	other := types.UID("00000000-0000-4000-8000-000000000000")
	precondition := meta.DeleteOptions{Preconditions: &meta.Preconditions{UID: &other}}
	err = maps.Delete(ctx, "typed", precondition)
	that("a precondition protects from a deletion", errors.IsConflict(err), err)
	check("it is deleted", maps.Delete(ctx, "typed", meta.DeleteOptions{}))
	_, err = maps.Get(ctx, "typed", meta.GetOptions{})
	that("it is gone", errors.IsNotFound(err), err)
	eviction := &policy.Eviction{ObjectMeta: meta.ObjectMeta{Name: "missing", Namespace: space}}
	err = clients.CoreV1().Pods(space).EvictV1(ctx, eviction)
	that("a missing pod is not evicted", errors.IsNotFound(err), err)
}

func configMap(name string) *core.ConfigMap {
	return &core.ConfigMap{
		ObjectMeta: meta.ObjectMeta{Name: name, Namespace: space},
		Data:       map[string]string{"word": "first"},
	}
}

// informed reads a list and a watch by an informer.
func informed(ctx context.Context, clients kubernetes.Interface) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	factory := informers.NewSharedInformerFactory(clients, 0)
	informer := factory.Core().V1().ConfigMaps().Informer()
	seen := make(chan string, 100)
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(object any) { seen <- "add " + object.(*core.ConfigMap).Name },
		DeleteFunc: func(object any) {
			if found, ok := object.(*core.ConfigMap); ok {
				seen <- "delete " + found.Name
			}
		},
	})
	check("an informer is made", err)
	factory.Start(ctx.Done())
	that("the informer has the list", cache.WaitForCacheSync(ctx.Done(), informer.HasSynced), "no list")
	maps := clients.CoreV1().ConfigMaps(space)
	_, err = maps.Create(ctx, configMap("watched"), meta.CreateOptions{})
	check("a ConfigMap is created for the informer", err)
	that("the informer sees it", arrives(ctx, seen, "add watched"), "nothing")
	check("and it is deleted", maps.Delete(ctx, "watched", meta.DeleteOptions{}))
	that("the informer sees its end", arrives(ctx, seen, "delete watched"), "nothing")
}

func arrives(ctx context.Context, seen <-chan string, expected string) bool {
	for {
		select {
		case event := <-seen:
			if event == expected {
				return true
			}
		case <-ctx.Done():
			return false
		}
	}
}

// elections lets two candidates of client-go lead one after the other.
func elections(ctx context.Context, config *rest.Config) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	clients, err := kubernetes.NewForConfig(config)
	if !check("a client for elections is made", err) {
		return
	}
	leaders := make(chan string, 10)
	candidate := func(ctx context.Context, name string) {
		lock := &resourcelock.LeaseLock{
			LeaseMeta:  meta.ObjectMeta{Name: "sdk-leader", Namespace: space},
			Client:     clients.CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: name},
		}
		leaderelection.RunOrDie(ctx, leaderelection.LeaderElectionConfig{
			Lock:            lock,
			ReleaseOnCancel: true,
			LeaseDuration:   3 * time.Second,
			RenewDeadline:   2 * time.Second,
			RetryPeriod:     300 * time.Millisecond,
			Callbacks: leaderelection.LeaderCallbacks{
				OnStartedLeading: func(context.Context) { leaders <- name },
				OnStoppedLeading: func() {},
			},
		})
	}
	first, resign := context.WithCancel(ctx)
	go candidate(first, "one")
	that("the first candidate leads", arrives(ctx, leaders, "one"), "no leader")
	go candidate(ctx, "two")
	select {
	case name := <-leaders:
		that("the second one waits", false, name)
	case <-time.After(2 * time.Second):
		that("the second one waits", true, nil)
	}
	resign()
	that("the second one leads after the first has resigned", arrives(ctx, leaders, "two"), "no leader")
	check("the Lease is deleted",
		clients.CoordinationV1().Leases(space).Delete(ctx, "sdk-leader", meta.DeleteOptions{}))
}

// controllers runs a controller with leader election of controller-runtime.
func controllers(ctx context.Context, config *rest.Config) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	manager, err := control.NewManager(config, control.Options{
		LeaderElection:                true,
		LeaderElectionID:              "sdk-controller",
		LeaderElectionNamespace:       space,
		LeaderElectionReleaseOnCancel: true,
		Metrics:                       metrics.Options{BindAddress: "0"},
	})
	if !check("a manager is made", err) {
		return
	}
	var reconciled atomic.Bool
	err = control.NewControllerManagedBy(manager).For(&core.ConfigMap{}).Complete(
		reconcile.Func(func(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
			if request.Name != "controlled" {
				return reconcile.Result{}, nil
			}
			var found core.ConfigMap
			if err := manager.GetClient().Get(ctx, request.NamespacedName, &found); err != nil {
				return reconcile.Result{}, client.IgnoreNotFound(err)
			}
			if found.Data["seen"] == "yes" {
				reconciled.Store(true)
				return reconcile.Result{}, nil
			}
			changed := found.DeepCopy()
			changed.Data["seen"] = "yes"
			return reconcile.Result{}, manager.GetClient().Patch(ctx, changed, client.MergeFrom(&found))
		}))
	if !check("a controller is made", err) {
		return
	}
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- manager.Start(running) }()
	select {
	case <-manager.Elected():
		that("the manager is elected", true, nil)
	case <-ctx.Done():
		that("the manager is elected", false, "nothing")
	}
	direct, err := client.New(config, client.Options{})
	check("a direct client is made", err)
	object := configMap("controlled")
	check("an object is created for the controller", direct.Create(ctx, object))
	for !reconciled.Load() && ctx.Err() == nil {
		time.Sleep(50 * time.Millisecond)
	}
	that("the controller reconciles it", reconciled.Load(), "nothing")
	check("the object is deleted", direct.Delete(ctx, object))
	stop()
	check("the manager ends", <-ended)
}
