// The page /ca: copies commands, and finds out whether this browser is ready for an editor.

const PATIENCE_MS = 8000;
const SCOPE = "/ca/test/";

const inTime = (work) =>
  Promise.race([
    work,
    new Promise((_, fail) => setTimeout(() => fail(new Error("no answer")), PATIENCE_MS)),
  ]);

const show = (place, kind, text) => {
  const verdict = place.querySelector("[data-verdict]");
  verdict.className = `verdict ${kind}`;
  verdict.textContent = text;
  verdict.hidden = false;
};

// --- is it trusted? asked from a page without TLS ----------------------------------------------

const askTrust = async (place) => {
  show(place, "", "Looking whether this browser trusts the certificate …");
  const go = place.querySelector("[data-go]");
  try {
    await inTime(fetch(`${place.dataset.secure}/health`, { mode: "no-cors", cache: "no-store", credentials: "omit" }));
    show(place, "good", "This browser gets through. The secure page checks the rest.");
    go.classList.add("primary");
  } catch {
    show(place, "bad", "own" in place.dataset
      ? "Not trusted yet. Follow the steps below, restart the browser, and come back."
      : "This browser does not get through. Use the link that you were given, or tell an organizer.");
    go.classList.remove("primary");
  }
};

// --- is it ready? asked from a page with TLS ---------------------------------------------------

const checks = {
  secure: async () => {
    if (!window.isSecureContext) throw new Error("no secure context");
  },

  worker: async () => {
    const registration = await navigator.serviceWorker.register(`${SCOPE}worker.js`, { scope: SCOPE });
    try {
      await new Promise((ready, fail) => {
        const ask = () => {
          const worker = registration.active;
          if (!worker) return;
          const channel = new MessageChannel();
          channel.port1.onmessage = ready;
          worker.postMessage("are you there?", [channel.port2]);
        };
        const coming = registration.installing ?? registration.waiting;
        coming?.addEventListener("statechange", () => {
          if (coming.state === "activated") ask();
          if (coming.state === "redundant") fail(new Error("it was not installed"));
        });
        ask();
        setTimeout(() => fail(new Error("no answer")), PATIENCE_MS);
      });
    } finally {
      await registration.unregister();
    }
  },

  socket: () =>
    new Promise((ready, fail) => {
      const scheme = location.protocol === "https:" ? "wss" : "ws";
      const socket = new WebSocket(`${scheme}://${location.host}${SCOPE}socket`);
      socket.onopen = () => socket.send("are you there?");
      socket.onmessage = (event) => {
        socket.close();
        event.data === "are you there?" ? ready() : fail(new Error("another answer"));
      };
      socket.onerror = () => fail(new Error("it does not open"));
      setTimeout(() => { socket.close(); fail(new Error("no answer")); }, PATIENCE_MS);
    }),

  storage: async () => {
    document.cookie = "thon-test=1; Path=/ca; SameSite=Lax; Max-Age=60";
    const kept = document.cookie.includes("thon-test=1");
    document.cookie = "thon-test=; Path=/ca; SameSite=Lax; Max-Age=0";
    if (!kept) throw new Error("no cookies");
    localStorage.setItem("thon-test", "1");
    localStorage.removeItem("thon-test");
    await new Promise((ready, fail) => {
      const opening = indexedDB.open("thon-test");
      opening.onerror = () => fail(opening.error);
      opening.onsuccess = () => {
        opening.result.close();
        indexedDB.deleteDatabase("thon-test");
        ready();
      };
    });
  },
};

const testAll = async (place) => {
  show(place, "", "Checking …");
  place.querySelector("[data-checks]").hidden = false;
  const results = await Promise.all(
    [...place.querySelectorAll("[data-check]")].map(async (line) => {
      line.className = "";
      line.querySelector("p").hidden = true;
      try {
        await inTime(checks[line.dataset.check]());
        line.className = "good";
        return true;
      } catch (error) {
        line.className = "bad";
        line.title = error.message;
        line.querySelector("p").hidden = false;
        return false;
      }
    }),
  );
  if (results.every(Boolean)) show(place, "good", "This browser is ready.");
  else show(place, "bad", "This browser is not ready yet.");
};

const begin = (place, look) => {
  const again = place.querySelector("[data-again]");
  again.hidden = false;
  const run = async () => {
    again.disabled = true;
    await look(place);
    again.disabled = false;
  };
  again.addEventListener("click", run);
  run();
};

const trust = document.getElementById("trust");
if (trust) begin(trust, askTrust);
const test = document.getElementById("test");
if (test) begin(test, testAll);

// --- instructions ------------------------------------------------------------------------------

// An iPad says that it is a Mac.
if (navigator.maxTouchPoints > 1 && document.getElementById("macOS")?.open) {
  document.getElementById("macOS").open = false;
  document.getElementById("iOS").open = true;
}

const copy = async (block) => {
  if (navigator.clipboard) return navigator.clipboard.writeText(block.textContent);
  // Without TLS there is the old way only.
  getSelection().selectAllChildren(block);
  if (!document.execCommand("copy")) throw new Error("select it and copy it yourself");
};

for (const block of document.querySelectorAll(".steps code.block")) {
  const frame = document.createElement("div");
  frame.className = "copy";
  block.replaceWith(frame);
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    await copy(block).then(() => { button.textContent = "Copied"; }, () => { button.textContent = "Ctrl-C"; });
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
  frame.append(block, button);
}
