//! `sansws serve`.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use sansws::Config;
use sansws::deflate::Deflate;
use sansws::server::{OriginPolicy, Response, Server, ServerError, handler_fn};

use crate::Exit;
use crate::args::Serve;
use crate::escape;

/// The most that is read of a folder: files, and bytes in all of them. They are in memory.
const MAX_FILES: usize = 1_000;
const MAX_BYTES: u64 = 64 << 20;

pub fn run(options: &Serve) -> Exit {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let mut pages = Pages::default();
    if let Some(folder) = &options.folder
        && let Err(error) = pages.read(folder, "")
    {
        return failed(&error);
    }
    match runtime.block_on(serve(options, pages)) {
        Ok(()) => Exit::Ok,
        Err(error) => failed(&error),
    }
}

fn failed(error: &dyn std::error::Error) -> Exit {
    eprintln!("sansws: {}", escape::for_terminal(&error.to_string()));
    Exit::Local
}

async fn serve(options: &Serve, pages: Pages) -> Result<(), ServerError> {
    let broadcast = options.broadcast;
    let handler = || {
        handler_fn().on_message(move |client, message| match broadcast {
            true => client.hub().all().send(message).is_ok(),
            false => client.send(message).is_ok(),
        })
    };
    let mut server = Server::bind(&options.listen)
        .await?
        .route("/", handler())
        .route("/{*path}", handler())
        .config(Config::new().deflate(Deflate::new()));
    if options.any_origin {
        server = server.origins(OriginPolicy::Any);
    }
    for (path, response) in pages.pages {
        server = server.page(&path, response);
    }
    let addr = server.local_addr()?;
    // whoever waits for this line need not read on
    let _ = writeln!(io::stdout(), "listening on ws://{addr}/");
    server.run().await
}

/// The files of a folder.
#[derive(Default)]
struct Pages {
    pages: Vec<(String, Response)>,
    bytes: u64,
}

impl Pages {
    /// Reads a folder and those in it. Hidden files and links are left out: neither is meant to be
    /// seen from outside.
    fn read(&mut self, folder: &Path, prefix: &str) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let (kind, name) = (entry.file_type()?, entry.file_name());
            // braces stand for parameters in the path of a page
            let name = match name.to_str() {
                Some(name) if !name.starts_with('.') && !name.contains(['{', '}']) => name,
                _ => continue,
            };
            let path = format!("{prefix}/{name}");
            if kind.is_dir() {
                self.read(&entry.path(), &path)?;
            } else if kind.is_file() {
                let body = fs::read(entry.path())?;
                self.bytes += body.len() as u64;
                if self.pages.len() >= MAX_FILES || self.bytes > MAX_BYTES {
                    return Err(io::Error::other(format!(
                        "the folder has more than {MAX_FILES} files or {MAX_BYTES} bytes"
                    )));
                }
                let response = Response::new(content_type(name), body);
                if name == "index.html" {
                    self.pages.push((format!("{prefix}/"), response.clone()));
                }
                self.pages.push((path, response));
            }
        }
        Ok(())
    }
}

/// What browsers have to know of the files that a page is made of.
fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "html" | "htm" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "txt" | "md" => "text/plain; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "ico" => "image/x-icon",
        "wasm" => "application/wasm",
        "woff2" => "font/woff2",
        _ => "application/octet-stream",
    }
}
