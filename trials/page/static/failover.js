// Update the page of the failover, and send its forms without leaving it. The page works without this script too.

import { all, one, say, write } from "./trial.js";

const EVERY = 500; // milliseconds
const page = one("[data-failover]");
const picture = one("[data-picture]");

function update(article, now) {
  for (const element of all("[data-field]", article)) write(element, now[element.dataset.field]);
  for (const button of all("[data-can]", article)) button.disabled = !now[button.dataset.can];
  one("[data-pill]", article).className = `pill ${now.kind}`;
}

function list(changes) {
  const known = one("[data-changes]");
  if (!changes.length || known.dataset.known === JSON.stringify(changes)) return;
  known.dataset.known = JSON.stringify(changes);
  known.replaceChildren(
    ...changes.map(([clock, message]) => {
      const [item, time, text] = ["li", "time", "span"].map((tag) => document.createElement(tag));
      time.textContent = `${clock} UTC`;
      text.textContent = message;
      item.append(time, " ", text);
      return item;
    }),
  );
}

async function refresh() {
  try {
    const answer = await fetch(page.dataset.failover, { signal: AbortSignal.timeout(10000) });
    if (!answer.ok) throw new Error(answer.statusText);
    const now = await answer.json();
    for (const article of all("[data-node]")) update(article, now.nodes[article.dataset.node]);
    for (const figure of all("[data-figure]")) write(figure, now.figures[figure.dataset.figure]);
    one("[data-figure=lost]").classList.toggle("bad", now.lost);
    write(one("[data-waiting]"), now.waiting);
    picture.innerHTML = now.picture;
    list(now.changes);
    one("[data-lost]").hidden = true;
  } catch {
    one("[data-lost]").hidden = false;
  }
}

page.addEventListener("submit", async (event) => {
  event.preventDefault();
  const { target: form, submitter: button } = event;
  say(`${button.textContent}: running …`);
  try {
    const answer = await fetch(form.action, { method: "POST", body: new FormData(form, button), headers: { Accept: "application/json" } });
    const content = await answer.json();
    say(content.message ?? content.error);
  } catch {
    say("The server of this page does not answer. Try again.");
  }
  await refresh();
});

// The present is at the right.
picture.scrollLeft = picture.scrollWidth;
for (;;) {
  if (!document.hidden) await refresh();
  await new Promise((resume) => setTimeout(resume, EVERY));
}
