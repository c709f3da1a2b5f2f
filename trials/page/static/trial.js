// Update the status, and send forms without leaving the page. The page works without this script too.

const EVERY = 1000; // milliseconds
const SHOWN = 6000;
const one = (selector, within = document) => within.querySelector(selector);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];

const said = one("[data-said]");
let fading;

function say(text) {
  said.textContent = text;
  said.dataset.shown = "";
  clearTimeout(fading);
  fading = setTimeout(() => delete said.dataset.shown, SHOWN);
}

// --- The status of each database ---

function write(element, text) {
  if (element && element.textContent !== String(text)) element.textContent = text;
}

function update(article, now) {
  for (const element of all("[data-field]", article)) {
    write(element, now[element.dataset.field]);
    if (element.dataset.field === "transactions") element.classList.toggle("word", now.transactions === "unknown");
    if (element.dataset.field === "error") element.title = now.error;
  }
  one("[data-reachable]", article).className = `pill ${now.reachable ? "good" : "bad"}`;
  one("[data-leak]", article)?.toggleAttribute("data-open", now.leaks > 0);
  all("[data-pool] i", article).forEach((place, number) => {
    const over = number >= now.size;
    const taken = over ? number - now.size < now.overflow : number < now.checked_out - now.overflow;
    place.classList.toggle("taken", taken);
  });
  const options = one("[data-options]", article);
  const known = JSON.stringify(now.options);
  if (now.options.length && options.dataset.known !== known) {
    options.dataset.known = known;
    options.replaceChildren(
      ...now.options.map(([name, value]) => {
        const [row, term, description] = ["div", "dt", "dd"].map((tag) => document.createElement(tag));
        term.textContent = name;
        description.textContent = value;
        row.append(term, description);
        return row;
      }),
    );
  }
}

async function refresh(section) {
  try {
    const answer = await fetch(section.dataset.state, { signal: AbortSignal.timeout(10000) });
    if (!answer.ok) throw new Error(answer.statusText);
    const state = await answer.json();
    const articles = all("[data-backend]", section);
    // An optional database has a place on the page only after it has answered.
    if (articles.length !== Object.keys(state).length) location.reload();
    for (const article of articles) update(article, state[article.dataset.backend]);
    one("[data-lost]").hidden = true;
  } catch {
    one("[data-lost]").hidden = false;
  }
}

async function poll(section) {
  for (;;) {
    if (!document.hidden) await refresh(section);
    await new Promise((resume) => setTimeout(resume, EVERY));
  }
}

// --- Forms ---

function show(answer) {
  const stage = one("[data-result]");
  stage.innerHTML = answer.result;
  stage.scrollTop = 0;
  one("[data-history]").innerHTML = answer.history;
  say(answer.message);
  // On a narrow screen the result is below the buttons: move there.
  if (getComputedStyle(one(".seen")).position !== "sticky") one("[data-heading]", stage).focus();
}

async function send(form, button) {
  const body = new FormData(form, button);
  button.setAttribute("aria-disabled", "true");
  say(`${button.textContent.trim()}: running …`);
  try {
    const answer = await fetch(form.action, { method: "POST", body, headers: { Accept: "application/json" } });
    const content = await answer.json();
    if (answer.ok) show(content);
    else say(content.error);
    if (answer.ok) for (const key of all("[data-fresh]", form)) key.value = `key-${Math.random().toString(16).slice(2, 8)}`;
  } catch {
    say("The server of this page does not answer. Try again.");
  } finally {
    button.removeAttribute("aria-disabled");
  }
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!("live" in form.dataset)) return;
  event.preventDefault();
  const button = event.submitter ?? one("button", form);
  if (!button.hasAttribute("aria-disabled")) send(form, button);
});

// Two can be compared: a third one replaces the one that was selected first.
let chosen = [];
document.addEventListener("change", (event) => {
  const form = event.target.closest("[data-compare]");
  if (!form) return;
  const checked = all("input:checked", form);
  chosen = [...chosen.filter((box) => checked.includes(box)), ...checked.filter((box) => !chosen.includes(box))];
  chosen = [...chosen.filter((box) => box !== event.target), ...(event.target.checked ? [event.target] : [])];
  while (chosen.length > 2) chosen.shift().checked = false;
});

const section = one("[data-state]");
if (section) poll(section);

export { all, one, say, write };
