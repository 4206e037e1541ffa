// Command recipes measures what recipes of etcd's own client take, by site:
// package concurrency, and the recipes beside it. Each endpoint is the member
// of a site; sites work at once, each with names of its own, but for the
// double barrier, which all cross together.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	recipe "go.etcd.io/etcd/client/v3/experimental/recipes"
)

type row struct {
	Recipe   string  `json:"recipe"`
	Endpoint string  `json:"endpoint"`
	MedianMs float64 `json:"median_ms"`
	P99Ms    float64 `json:"p99_ms"`
}

// site is a client at a site, with the one session that all its recipes share.
type site struct {
	number   int
	endpoint string
	client   *clientv3.Client
	session  *concurrency.Session
	name     string
	sites    int
	// crossings of the double barrier so far. Each has a name of its own: where
	// etcd's is entered again before all have heard that they left, all wait for
	// ever.
	crossings int
}

// times are of one thing at one site.
type times map[string][]time.Duration

func (t times) measure(what string, work func() error) error {
	began := time.Now()
	if err := work(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	t[what] = append(t[what], time.Since(began))
	return nil
}

// one does a recipe once.
func (s *site) one(ctx context.Context, what string, t times) error {
	own := fmt.Sprintf("%s/%s/%d", s.name, what, s.number)
	switch what {
	case "mutex":
		mutex := concurrency.NewMutex(s.session, own)
		return t.measure(what, func() error {
			if err := mutex.Lock(ctx); err != nil {
				return err
			}
			return mutex.Unlock(ctx)
		})
	case "counter":
		return t.measure(what, func() error {
			_, err := concurrency.NewSTM(s.client, func(stm concurrency.STM) error {
				number, _ := strconv.Atoi(stm.Get(own))
				stm.Put(own, strconv.Itoa(number+1))
				return nil
			})
			return err
		})
	case "election":
		election := concurrency.NewElection(s.session, own)
		return t.measure(what, func() error {
			if err := election.Campaign(ctx, "c"); err != nil {
				return err
			}
			return election.Resign(ctx)
		})
	case "double-barrier":
		s.crossings++
		name := fmt.Sprintf("%s/barrier/%d", s.name, s.crossings)
		barrier := recipe.NewDoubleBarrier(s.session, name, s.sites)
		return t.measure(what, func() error {
			if err := barrier.Enter(); err != nil {
				return err
			}
			return barrier.Leave()
		})
	case "queue":
		queue := recipe.NewQueue(s.client, own)
		if err := t.measure("queue push", func() error { return queue.Enqueue("item") }); err != nil {
			return err
		}
		// It is gone when it is taken: there is no "done".
		return t.measure("queue take, done", func() error {
			_, err := queue.Dequeue()
			return err
		})
	}
	return fmt.Errorf("there is no %s", what)
}

func (s *site) all(what string, count int) (times, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	// The first one opens connections.
	if err := s.one(ctx, what, times{}); err != nil {
		return nil, err
	}
	t := times{}
	for range count {
		if err := s.one(ctx, what, t); err != nil {
			return nil, err
		}
	}
	return t, nil
}

func open(endpoints []string) ([]*site, error) {
	name := fmt.Sprintf("bench-%d-%d", os.Getpid(), time.Now().UnixNano())
	var sites []*site
	for number, endpoint := range endpoints {
		client, err := clientv3.New(clientv3.Config{
			Endpoints: []string{endpoint}, DialTimeout: 10 * time.Second,
		})
		if err != nil {
			return nil, err
		}
		session, err := concurrency.NewSession(client)
		if err != nil {
			return nil, err
		}
		sites = append(sites, &site{number, endpoint, client, session, name, len(endpoints), 0})
	}
	return sites, nil
}

// quantile is of the nearest rank.
func quantile(sorted []time.Duration, part float64) float64 {
	rank := int(float64(len(sorted))*part + 0.999999)
	return float64(sorted[max(rank, 1)-1].Microseconds()) / 1000
}

func run(endpoints []string, count int) ([]row, error) {
	sites, err := open(endpoints)
	if err != nil {
		return nil, err
	}
	var rows []row
	for _, what := range []string{"mutex", "counter", "election", "double-barrier", "queue"} {
		measured := make([]times, len(sites))
		failed := make([]error, len(sites))
		var group sync.WaitGroup
		for at, s := range sites {
			group.Go(func() { measured[at], failed[at] = s.all(what, count) })
		}
		group.Wait()
		for at, s := range sites {
			if failed[at] != nil {
				return nil, failed[at]
			}
			for name, each := range measured[at] {
				sort.Slice(each, func(a, b int) bool { return each[a] < each[b] })
				rows = append(rows, row{name, s.endpoint, quantile(each, 0.5), quantile(each, 0.99)})
			}
		}
	}
	return rows, nil
}

func main() {
	endpoints := flag.String("endpoints", "127.0.0.1:2379", "a member for each site")
	count := flag.Int("count", 100, "how often each is done at each site")
	flag.Parse()
	rows, err := run(strings.Split(*endpoints, ","), *count)
	if err != nil {
		log.Fatal(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(rows); err != nil {
		log.Fatal(err)
	}
}
