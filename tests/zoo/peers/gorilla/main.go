// gorilla/websocket, both roles; its compression has no context takeover.
package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"

	"github.com/gorilla/websocket"
)

func say(err error) {
	code, reason := 1006, err.Error()
	if end, ok := err.(*websocket.CloseError); ok {
		code, reason = end.Code, end.Text
	}
	fmt.Println("closed", code, reason)
}

func talk(ws *websocket.Conn) {
	defer ws.Close()
	ws.SetPongHandler(func(data string) error {
		return ws.WriteMessage(websocket.TextMessage, []byte("zoo:pong "+data))
	})
	for {
		kind, data, err := ws.ReadMessage()
		if err == nil {
			err = obey(ws, kind, data)
		}
		if err != nil {
			say(err)
			return
		}
	}
}

func obey(ws *websocket.Conn, kind int, data []byte) error {
	switch string(data) {
	case "zoo:burst":
		for number := 0; number < 500; number++ {
			text := fmt.Sprintf("burst %d", number)
			if err := ws.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
				return err
			}
		}
		return nil
	case "zoo:fragments":
		// each buffer that it fills is a frame
		writer, err := ws.NextWriter(websocket.TextMessage)
		if err != nil {
			return err
		}
		for number := 0; number < 10; number++ {
			if _, err := writer.Write([]byte(strings.Repeat("0123456789", 500))); err != nil {
				return err
			}
		}
		return writer.Close()
	case "zoo:ping":
		return ws.WriteMessage(websocket.PingMessage, []byte("zoo"))
	case "zoo:close":
		reason := websocket.FormatCloseMessage(4001, "the zoo says bye ü")
		return ws.WriteMessage(websocket.CloseMessage, reason)
	}
	return ws.WriteMessage(kind, data)
}

func server() {
	upgrader := websocket.Upgrader{EnableCompression: true}
	http.HandleFunc("/", func(w http.ResponseWriter, request *http.Request) {
		ws, err := upgrader.Upgrade(w, request, nil)
		if err != nil {
			say(err)
			return
		}
		talk(ws)
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println("port", listener.Addr().(*net.TCPAddr).Port)
	panic(http.Serve(listener, nil))
}

func main() {
	switch os.Args[1] {
	case "client":
		dialer := websocket.Dialer{EnableCompression: true}
		for _, url := range os.Args[2:] {
			ws, _, err := dialer.Dial(url, nil)
			if err != nil {
				panic(err)
			}
			talk(ws)
		}
	case "server":
		server()
	}
}
