// What the pages do on top of plain HTML: local times, and looking again while something changes.

for (const time of document.querySelectorAll("time[datetime]")) {
  const at = new Date(time.dateTime);
  if (!Number.isNaN(at.getTime())) {
    time.textContent = at.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
  }
}

const card = document.querySelector("[data-poll]");
if (card) {
  const POLL_MS = 2000;
  const look = async () => {
    if (!document.hidden) {
      try {
        const answer = await fetch(card.dataset.poll, { headers: { accept: "application/json" } });
        const state = answer.ok ? (await answer.json()).state : "";
        // 401: signed out meanwhile. The page knows what to say.
        if (answer.status === 401 || state !== card.dataset.state) {
          location.reload();
          return;
        }
      } catch {
        // The appliance restarts: ask again.
      }
    }
    setTimeout(look, POLL_MS);
  };
  setTimeout(look, POLL_MS);
}
