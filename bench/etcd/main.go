// Command etcd measures serializable gets and puts of etcd through its own
// client, with the load of `music bench local`: the same keys, sizes, closed
// loop and warm-up, and the same JSON on standard output.
//
//	go run . -endpoint 127.0.0.1:2379 -pids $(pidof etcd) -connections 64 -seconds 10
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

var (
	endpoint    = flag.String("endpoint", "127.0.0.1:2379", "the member to ask")
	pids        = flag.String("pids", "", "the members' processes, whose processor time is counted")
	connections = flag.Int("connections", 64, "connections, each a client of its own")
	callers     = flag.Int("callers", 64, "callers, spread over the connections; each waits for its answer")
	seconds     = flag.Int("seconds", 10, "how long to count")
	warmUp      = flag.Int("warm-up", 2, "seconds before counting")
	keys        = flag.Int("keys", 10_000, "how many keys")
	valueBytes  = flag.Int("value-bytes", 256, "size of a value")
)

// report is what `music bench local --json` prints for one operation.
type report struct {
	System            string  `json:"system"`
	Operation         string  `json:"operation"`
	Connections       int     `json:"connections"`
	Seconds           float64 `json:"seconds"`
	Requests          int     `json:"requests"`
	Errors            int     `json:"errors"`
	RequestsPerSecond float64 `json:"requests_per_second"`
	P50               float64 `json:"p50_us"`
	P99               float64 `json:"p99_us"`
	P999              float64 `json:"p999_us"`
	Max               float64 `json:"max_us"`
	ServerCPU         float64 `json:"server_cpu_us_per_request"`
	ClientCPU         float64 `json:"client_cpu_us_per_request"`
}

func main() {
	flag.Parse()
	clients := make([]*clientv3.Client, *connections)
	for i := range clients {
		client, err := clientv3.New(clientv3.Config{Endpoints: []string{*endpoint}, DialTimeout: 5 * time.Second})
		check(err)
		defer client.Close()
		clients[i] = client
	}
	fill(clients)
	var reports []report
	for _, operation := range []string{"get", "put"} {
		reports = append(reports, measure(operation, clients))
	}
	check(json.NewEncoder(os.Stdout).Encode(reports))
}

// fill writes every key once.
func fill(clients []*clientv3.Client) {
	var group sync.WaitGroup
	for caller := range *callers {
		group.Go(func() {
			draw := rand.New(rand.NewSource(int64(caller)))
			for n := caller; n < *keys; n += *callers {
				check(put(context.Background(), clients[caller%len(clients)], n, draw))
			}
		})
	}
	group.Wait()
}

// measure drives one operation from all callers at once.
func measure(operation string, clients []*clientv3.Client) report {
	call := put
	if operation == "get" {
		call = get
	}
	begin := time.Now().Add(time.Duration(*warmUp) * time.Second)
	end := begin.Add(time.Duration(*seconds) * time.Second)
	latencies := make([][]time.Duration, *callers)
	errors := make([]int, *callers)
	var group sync.WaitGroup
	for caller := range *callers {
		group.Go(func() {
			draw := rand.New(rand.NewSource(int64(1000 + caller)))
			for sent := time.Now(); sent.Before(end); sent = time.Now() {
				err := call(context.Background(), clients[caller%len(clients)], draw.Intn(*keys), draw)
				answered := time.Now()
				switch {
				case sent.Before(begin) || answered.After(end):
				case err != nil:
					errors[caller]++
				default:
					latencies[caller] = append(latencies[caller], answered.Sub(sent))
				}
			}
		})
	}
	time.Sleep(time.Until(begin))
	server, own := serverCPU(), ownCPU()
	time.Sleep(time.Until(end))
	server, own = serverCPU()-server, ownCPU()-own
	group.Wait()
	result := summary(slices.Concat(latencies...), server, own)
	result.Operation = operation
	for _, count := range errors {
		result.Errors += count
	}
	return result
}

func put(ctx context.Context, client *clientv3.Client, n int, draw *rand.Rand) error {
	value := make([]byte, *valueBytes)
	draw.Read(value)
	_, err := client.Put(ctx, key(n), string(value))
	return err
}

// get reads at the member asked, as it knows the key.
func get(ctx context.Context, client *clientv3.Client, n int, _ *rand.Rand) error {
	answer, err := client.Get(ctx, key(n), clientv3.WithSerializable())
	if err == nil && (len(answer.Kvs) != 1 || len(answer.Kvs[0].Value) != *valueBytes) {
		return fmt.Errorf("%s has no value of %d bytes", key(n), *valueBytes)
	}
	return err
}

func key(n int) string { return fmt.Sprintf("key-%08d", n) }

func summary(latencies []time.Duration, server, own time.Duration) report {
	slices.Sort(latencies)
	count := len(latencies)
	quantile := func(q float64) float64 {
		if count == 0 {
			return 0
		}
		return micros(latencies[min(count-1, int(q*float64(count)))])
	}
	requests := float64(max(count, 1))
	return report{
		System: "etcd", Connections: *connections, Seconds: float64(*seconds), Requests: count,
		RequestsPerSecond: float64(count) / float64(*seconds),
		P50:               quantile(0.5), P99: quantile(0.99), P999: quantile(0.999), Max: quantile(1),
		ServerCPU: micros(server) / requests, ClientCPU: micros(own) / requests,
	}
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }

// serverCPU is the processor time that all members have used so far.
func serverCPU() time.Duration {
	ticks := 0
	for _, pid := range strings.FieldsFunc(*pids, func(r rune) bool { return r == ',' }) {
		stat, err := os.ReadFile("/proc/" + pid + "/stat")
		check(err)
		// What follows the name begins with field 3; 14 and 15 are wanted.
		fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
		for _, field := range fields[11:13] {
			used, err := strconv.Atoi(string(field))
			check(err)
			ticks += used
		}
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// ownCPU is the processor time that this program has used so far.
func ownCPU() time.Duration {
	var usage syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "etcd benchmark:", err)
		os.Exit(1)
	}
}
