// Says that it is there, and nothing else: the page /ca registers it, asks it, and removes it again.

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("message", (event) => event.ports[0]?.postMessage("ready"));
