"""A browser: headless, at a page of its own that connects and says here what it sees.

    browser.py PROGRAM version | client URL...
"""

import json
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PAGE = """<!DOCTYPE html><meta charset=utf-8><title>zoo</title><script>
const say = (path, text) => fetch(path, { method: "POST", body: text });
function run(url) {
  const ws = new WebSocket(url);
  ws.binaryType = "arraybuffer";
  ws.onmessage = ({ data }) => {
    if (data === "zoo:burst") {
      for (let number = 0; number < 500; number++) ws.send(`burst ${number}`);
    } else if (data === "zoo:ping" || data === "zoo:fragments") ws.send("zoo:cannot");
    else if (data === "zoo:close") ws.close(4001, "the zoo says bye ü");
    else ws.send(data);
  };
  return new Promise((resolve) => {
    ws.onclose = ({ code, reason }) => resolve(say("/said", `closed ${code} ${reason}`));
  });
}
(async () => {
  for (const url of URLS) await run(url);
  say("/done", "");
})();
</script>"""


def options(program, profile):
    if "firefox" in program:
        return ["--headless", "--no-remote", "--profile", profile]
    return [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        f"--user-data-dir={profile}",
    ]


def client(program, urls):
    done = threading.Event()
    page = PAGE.replace("URLS", json.dumps(urls)).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.answer(page if self.path == "/" else b"")

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            if self.path == "/said":
                print(body, flush=True)
            self.answer(b"")
            if self.path == "/done":
                done.set()

        def answer(self, body):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        # nothing of its own to fetch, and no first page to show
        Path(profile, "user.js").write_text(
            'user_pref("browser.shell.checkDefaultBrowser", false);\n'
            'user_pref("datareporting.policy.dataSubmissionEnabled", false);\n'
            'user_pref("app.update.auto", false);\n'
        )
        command = [program, *options(program, profile), f"http://127.0.0.1:{server.server_port}/"]
        quiet = subprocess.DEVNULL
        browser = subprocess.Popen(command, stdout=quiet, stderr=quiet)
        try:
            finished = done.wait(90)
        finally:
            browser.terminate()
            try:
                browser.wait(10)
            except subprocess.TimeoutExpired:
                browser.kill()
                browser.wait()
    if not finished:
        sys.exit("the page did not finish")


match sys.argv[1:]:
    case [program, "version"]:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
        print(next(word for word in said.stdout.split() if word[0].isdigit()))
    case [program, "client", *urls]:
        client(program, urls)
    case arguments:
        sys.exit(f"{sys.argv[0]} does not know {arguments}")
