// Command sections does critical sections on etcd as lines of its input ask for
// them: a mutex of package concurrency, and puts under it. The answer to each
// line says when its steps were done, by the clock that all processes of a
// machine share. See crates/music-cli/src/bench/wan, which does the same.
//
// With -leader it only lets that endpoint's member lead, and ends.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"golang.org/x/sys/unix"
)

type wanted struct {
	ID     uint64 `json:"id"`
	Client int    `json:"client"`
	Key    string `json:"key"`
	Puts   int    `json:"puts"`
	Bytes  int    `json:"bytes"`
	How    string `json:"how"`
	HoldMs int    `json:"hold_ms"`
}

type answer struct {
	ID         uint64 `json:"id"`
	BeganNs    uint64 `json:"began_ns,omitempty"`
	GrantedNs  uint64 `json:"granted_ns,omitempty"`
	ReleasedNs uint64 `json:"released_ns,omitempty"`
	EndedNs    uint64 `json:"ended_ns,omitempty"`
	Error      string `json:"error,omitempty"`
}

func monotonic() uint64 {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		log.Fatal(err)
	}
	return uint64(now.Nano())
}

// site has a session for each of its clients: two mutexes of one session at
// one key are one.
type site struct {
	client   *clientv3.Client
	guard    sync.Mutex
	sessions map[int]*concurrency.Session
}

func (s *site) session(number int) (*concurrency.Session, error) {
	s.guard.Lock()
	defer s.guard.Unlock()
	if session := s.sessions[number]; session != nil {
		return session, nil
	}
	session, err := concurrency.NewSession(s.client)
	s.sessions[number] = session
	return session, err
}

func value(bytes int) string {
	random := make([]byte, bytes)
	for i := range random {
		random[i] = byte(rand.Uint32())
	}
	return string(random)
}

func (s *site) section(ctx context.Context, w wanted, a *answer) error {
	session, err := s.session(w.Client)
	if err != nil {
		return err
	}
	mutex := concurrency.NewMutex(session, "/locks/"+w.Key)
	put := value(w.Bytes)
	a.BeganNs = monotonic()
	if err := mutex.Lock(ctx); err != nil {
		return err
	}
	a.GrantedNs = monotonic()
	failed := s.puts(ctx, w, put)
	if w.HoldMs > 0 {
		time.Sleep(time.Duration(w.HoldMs) * time.Millisecond)
	}
	a.ReleasedNs = monotonic()
	err = mutex.Unlock(ctx)
	a.EndedNs = monotonic()
	if failed != nil {
		return failed
	}
	return err
}

// puts are one by one, or all of one transaction.
func (s *site) puts(ctx context.Context, w wanted, put string) error {
	var all []clientv3.Op
	for field := range w.Puts {
		key := fmt.Sprintf("/values/%s/%d", w.Key, field)
		if w.How == "batch" {
			all = append(all, clientv3.OpPut(key, put))
		} else if _, err := s.client.Put(ctx, key, put); err != nil {
			return err
		}
	}
	if len(all) == 0 {
		return nil
	}
	_, err := s.client.Txn(ctx).Then(all...).Commit()
	return err
}

func (s *site) serve() error {
	fmt.Println("ready")
	var guard sync.Mutex
	output := json.NewEncoder(os.Stdout)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var w wanted
		if err := json.Unmarshal(lines.Bytes(), &w); err != nil {
			return err
		}
		go func() {
			a := answer{ID: w.ID}
			if err := s.section(context.Background(), w, &a); err != nil {
				a.Error = err.Error()
			}
			guard.Lock()
			defer guard.Unlock()
			if err := output.Encode(a); err != nil {
				log.Fatal(err)
			}
		}()
	}
	return lines.Err()
}

// lead lets the member of an endpoint lead.
func lead(client *clientv3.Client, endpoint string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	wanted, err := client.Status(ctx, endpoint)
	if err != nil {
		return err
	}
	member := wanted.Header.MemberId
	if wanted.Leader == member {
		return nil
	}
	for _, other := range client.Endpoints() {
		status, err := client.Status(ctx, other)
		if err != nil {
			return err
		}
		if status.Header.MemberId == status.Leader {
			// Only the leader itself hands over.
			client.SetEndpoints(other)
			_, err := client.MoveLeader(ctx, member)
			return err
		}
	}
	return fmt.Errorf("there is no leader")
}

func main() {
	endpoints := flag.String("endpoints", "", "members, that of the site first")
	leader := flag.String("leader", "", "let this member lead, and end")
	flag.Parse()
	all := strings.Split(*endpoints, ",")
	if *leader == "" {
		all = all[:1]
	}
	client, err := clientv3.New(clientv3.Config{Endpoints: all, DialTimeout: 10 * time.Second})
	if err == nil && *leader != "" {
		err = lead(client, *leader)
	} else if err == nil {
		err = (&site{client: client, sessions: map[int]*concurrency.Session{}}).serve()
	}
	if err != nil {
		log.Fatal(err)
	}
}
