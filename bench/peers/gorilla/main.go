// A push server as the chat example of gorilla/websocket has it: two goroutines and a queue of 256
// messages for each client, read and write buffers of 1024 bytes, the example's limits, deadlines
// and pings, and a hub that knows the clients. It differs in one point that makes it cheaper: the
// goroutine that reads from Redis puts messages into the queues itself, under a lock, while the
// example's hub is a separate goroutine that receives them first.
//
//	gorilla PORT REDIS_PORT
package main

import (
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/gorilla/websocket"
)

const (
	writeWait  = 10 * time.Second
	pongWait   = 60 * time.Second
	pingPeriod = pongWait * 9 / 10
	readLimit  = 512
	queue      = 256 // messages that may wait for a client
	prefix     = "push:user:"
)

// The package's documentation: "A pool is most useful when the application has a modest volume of
// writes across a large number of connections."
var upgrader = websocket.Upgrader{
	ReadBufferSize:  1024,
	WriteBufferSize: 1024,
	WriteBufferPool: &sync.Pool{},
}

// A message for one user is written directly; one for all is prepared once, as the documentation
// advises. (Preparing a message that is written once would cost more than writing it.)
type message struct {
	payload  []byte
	prepared *websocket.PreparedMessage
}

func (m *message) writeTo(conn *websocket.Conn) error {
	if m.prepared != nil {
		return conn.WritePreparedMessage(m.prepared)
	}
	return conn.WriteMessage(websocket.TextMessage, m.payload)
}

type client struct {
	conn *websocket.Conn
	user string
	send chan *message
}

type hub struct {
	sync.RWMutex
	clients map[string]map[*client]bool // by user
}

func (h *hub) register(c *client) {
	h.Lock()
	defer h.Unlock()
	if h.clients[c.user] == nil {
		h.clients[c.user] = make(map[*client]bool)
	}
	h.clients[c.user][c] = true
}

func (h *hub) unregister(c *client) {
	h.Lock()
	defer h.Unlock()
	if !h.clients[c.user][c] {
		return
	}
	close(c.send)
	delete(h.clients[c.user], c)
	if len(h.clients[c.user]) == 0 {
		delete(h.clients, c.user)
	}
}

// A client with a full queue loses the message.
func give(clients map[*client]bool, m *message) {
	for c := range clients {
		select {
		case c.send <- m:
		default:
		}
	}
}

func (h *hub) push(channel string, payload []byte) {
	if strings.HasPrefix(channel, prefix) {
		h.RLock()
		defer h.RUnlock()
		give(h.clients[channel[len(prefix):]], &message{payload: payload})
		return
	}
	prepared, err := websocket.NewPreparedMessage(websocket.TextMessage, payload)
	if err != nil {
		log.Print(err)
		return
	}
	m := &message{prepared: prepared}
	h.RLock()
	defer h.RUnlock()
	for _, clients := range h.clients {
		give(clients, m)
	}
}

func (c *client) readPump(h *hub) {
	defer c.conn.Close()
	defer h.unregister(c)
	c.conn.SetReadLimit(readLimit)
	c.conn.SetReadDeadline(time.Now().Add(pongWait))
	c.conn.SetPongHandler(func(string) error {
		return c.conn.SetReadDeadline(time.Now().Add(pongWait))
	})
	for {
		if _, _, err := c.conn.ReadMessage(); err != nil {
			return
		}
	}
}

func (c *client) writePump() {
	ticker := time.NewTicker(pingPeriod)
	defer ticker.Stop()
	defer c.conn.Close()
	for {
		select {
		case m, open := <-c.send:
			c.conn.SetWriteDeadline(time.Now().Add(writeWait))
			if !open || m.writeTo(c.conn) != nil {
				return
			}
		case <-ticker.C:
			c.conn.SetWriteDeadline(time.Now().Add(writeWait))
			if c.conn.WriteMessage(websocket.PingMessage, nil) != nil {
				return
			}
		}
	}
}

func (h *hub) serve(w http.ResponseWriter, r *http.Request) {
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	c := &client{conn, r.URL.Query().Get("user"), make(chan *message, queue)}
	h.register(c)
	go c.writePump()
	go c.readPump(h)
}

func (h *hub) subscribe(pubsub redis.PubSubConn) {
	for {
		switch received := pubsub.Receive().(type) {
		case redis.Message:
			h.push(received.Channel, received.Data)
		case error:
			log.Fatal(received)
		}
	}
}

func main() {
	h := &hub{clients: make(map[string]map[*client]bool)}
	conn, err := redis.Dial("tcp", "127.0.0.1:"+os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	pubsub := redis.PubSubConn{Conn: conn}
	if err := pubsub.PSubscribe(prefix + "*"); err != nil {
		log.Fatal(err)
	}
	if err := pubsub.Subscribe("push:all"); err != nil {
		log.Fatal(err)
	}
	for i := 0; i < 2; i++ { // the two confirmations
		if err, failed := pubsub.Receive().(error); failed {
			log.Fatal(err)
		}
	}
	go h.subscribe(pubsub)
	listener, err := net.Listen("tcp", "127.0.0.1:"+os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("READY")
	http.HandleFunc("/ws", h.serve)
	log.Fatal(http.Serve(listener, nil))
}
