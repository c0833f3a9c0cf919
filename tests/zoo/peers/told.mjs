// What the peers for Node share: their command line, and what they say.
import { createRequire } from "node:module";

/// Packages come from where `run.py` has put them.
export const require = createRequire(process.env.ZOO_NODE + "/");
export const CLOSE = [4001, "the zoo says bye ü"];
export const PIECE = "0123456789".repeat(500);
export const FRAGMENTED = PIECE.repeat(10);
export const BURST = Array.from({ length: 500 }, (_, number) => `burst ${number}`);

export function closed(code, reason) {
  console.log("closed", code, reason);
}

export function listening(port) {
  console.log("port", port);
}

/// `version`, `client URL...` or `server`. A client resolves when its connection is over.
export async function main(version, client, server) {
  const [mode, ...urls] = process.argv.slice(2);
  if (mode === "version") console.log(version);
  else if (mode === "client") for (const url of urls) await client(url);
  else if (mode === "server" && server) return server();
  else throw new Error(`${process.argv[1]} does not know ${mode}`);
  process.exit(0);
}
