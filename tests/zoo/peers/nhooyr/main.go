// nhooyr.io/websocket (now coder/websocket), both roles.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"

	"nhooyr.io/websocket"
)

func say(err error) {
	code, reason := 1006, err.Error()
	var end websocket.CloseError
	if errors.As(err, &end) {
		code, reason = int(end.Code), end.Reason
	}
	fmt.Println("closed", code, reason)
}

func talk(ws *websocket.Conn) {
	ctx := context.Background()
	ws.SetReadLimit(1 << 24)
	for {
		kind, data, err := ws.Read(ctx)
		if err == nil {
			err = obey(ctx, ws, kind, data)
		}
		if err != nil {
			say(err)
			return
		}
	}
}

func obey(ctx context.Context, ws *websocket.Conn, kind websocket.MessageType, data []byte) error {
	switch string(data) {
	case "zoo:burst":
		for number := 0; number < 500; number++ {
			text := fmt.Sprintf("burst %d", number)
			if err := ws.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
				return err
			}
		}
		return nil
	case "zoo:fragments":
		writer, err := ws.Writer(ctx, websocket.MessageText)
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
		// the payload is the library's; it waits for the pong, which comes to a reader
		go func() {
			if ws.Ping(ctx) == nil {
				ws.Write(ctx, websocket.MessageText, []byte("zoo:pong zoo"))
			}
		}()
		return nil
	case "zoo:close":
		return ws.Close(4001, "the zoo says bye ü")
	}
	return ws.Write(ctx, kind, data)
}

// The mode that keeps a context where the other end allows it.
const compression = websocket.CompressionContextTakeover

func server() {
	http.HandleFunc("/", func(w http.ResponseWriter, request *http.Request) {
		options := websocket.AcceptOptions{CompressionMode: compression, CompressionThreshold: 1}
		ws, err := websocket.Accept(w, request, &options)
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
		options := websocket.DialOptions{CompressionMode: compression, CompressionThreshold: 1}
		for _, url := range os.Args[2:] {
			ws, _, err := websocket.Dial(context.Background(), url, &options)
			if err != nil {
				panic(err)
			}
			talk(ws)
		}
	case "server":
		server()
	}
}
