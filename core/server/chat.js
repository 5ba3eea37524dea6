"use strict";
// Texts of models and people become text nodes only; the page's policy forbids to make elements of a text.

const told = JSON.parse(document.getElementById("told").textContent);
const UNSAFE = new RegExp(told.unsafe, "gu"); // what a page would obey, as `visible` of the command line has it
const at = (id) => document.getElementById(id);
const chat = at("chat"), box = at("prompt"), models = at("model"), tip = at("tip");
const tips = new WeakMap(); // what each token of the page tells
const kept = { model: "", turns: [], draft: "" }; // what a reload brings back
let pair = "", running = null, views = [];

// --- Kept for this tab -----------------------------------------------------------------------------------------------

function recall(name) {
  try { return sessionStorage.getItem(name) || ""; } catch { return ""; }
}

function keep(name, text) {
  try { sessionStorage.setItem(name, text); } catch { /* no storage, or a chat that is too long for it */ }
}

function save() {
  keep("speccas-chat", JSON.stringify({ ...kept, draft: box.value }));
}

// --- Words -----------------------------------------------------------------------------------------------------------

function glyph(found) {
  const code = found.codePointAt(0);
  if (code < 0x20) return String.fromCharCode(0x2400 + code);
  if (code === 0x7f) return "\u2421";
  if (code >= 0xd800 && code <= 0xdfff) return "\ufffd";
  return `<U+${code.toString(16).toUpperCase().padStart(4, "0")}>`;
}

const visible = (text) => text.replace(UNSAFE, glyph);

function flat(text) {
  const shown = visible(text).replaceAll("\n", "\u23ce");
  return shown.trim() ? shown : "\u2423".repeat(shown.length);
}

const share = (value) => (value == null ? "-" : String(Number(value.toPrecision(2))));
const isCopied = (token) => token.source === "lookup" && (token.status === "agreed" || token.status === "kept");

function tipOf(number, token) {
  const text = token.text ? `'${flat(token.text)}'` : "its text comes with the next one";
  const lines = [`token ${number}, ${token.status}: ${text}${isCopied(token) ? " (looked up in the text)" : ""}`];
  lines.push(`q ${share(token.q)}   p ${share(token.p)}`);
  const down = token.turned_down;
  if (down) lines.push(`in place of '${flat(down.text)}'   q ${share(down.q)}   p ${share(down.p)}`);
  return lines.join("\n");
}

const ENDS = { length: "cut at the token limit", context: "the context is full", stopped: "stopped" };

function figuresOf(turn) {
  const count = (status) => turn.tokens.filter((token) => token.status === status).length;
  const n = turn.tokens.length, won = count("kept"), deferred = count("deferred");
  const accepted = count("agreed") + won, judged = accepted + deferred;
  const parts = n ? [`${n} token${n === 1 ? "" : "s"}`] : [];
  if (judged) {
    const keeps = turn.lossless && !won ? "" : `, kept ${won}`;
    parts.push(`accepted ${Math.round((100 * accepted) / judged)}%${keeps}, deferred ${deferred}`);
  }
  if (turn.speed) parts.push(`${turn.speed < 100 ? turn.speed.toFixed(1) : Math.round(turn.speed)} tokens/s`);
  if (ENDS[turn.finish]) parts.push(ENDS[turn.finish]);
  return parts.join(" \u00b7 ");
}

// --- What is shown ---------------------------------------------------------------------------------------------------

function node(tag, name, text = "") {
  const made = document.createElement(tag);
  made.className = name;
  made.textContent = text;
  return made;
}

function say(text, wrong = false) {
  at("state").textContent = visible(text);
  at("state").className = wrong ? "error" : "figures";
}

function low() {
  return chat.scrollHeight - chat.scrollTop - chat.clientHeight < 60;
}

// A turn on the page. Tokens whose text comes with a later one (parts of a character) are told by that one.
function draw(turn) {
  const section = node("section", "turn"), answer = node("div", "answer"), figures = node("p", "figures");
  const heading = node("h2", "", visible(turn.model)), asked = node("p", "asked", visible(turn.asked));
  const wrong = node("p", "error");
  heading.append(node("span", "", turn.lossless ? "  lossless" : "  not lossless"));
  answer.dir = asked.dir = "auto";
  section.append(asked, heading, answer, figures, wrong);
  chat.append(section);
  at("empty").hidden = true;
  let waiting = [], drawn = 0;
  const view = {
    section,
    plain(text) { answer.append(visible(text)); },
    token(token) {
      waiting.push(tipOf(drawn++, token));
      if (!token.text) return;
      const whole = node("span", "t"), [, before, word, behind] = /^(\s*)([^]*?)(\s*)$/.exec(visible(token.text));
      whole.tabIndex = answer.querySelector(".t") ? -1 : 0;
      whole.append(before, ...(word ? [node("span", token.status + (isCopied(token) ? " copied" : ""), word)] : []), behind);
      tips.set(whole, waiting.join("\n"));
      waiting = [];
      answer.append(whole);
    },
    tell() {
      figures.textContent = figuresOf(turn);
      wrong.textContent = visible(turn.error);
    },
  };
  turn.parts.forEach((part) => (typeof part === "string" ? view.plain(part) : view.token(turn.tokens[part])));
  view.tell();
  views.push(view);
  chat.scrollTop = chat.scrollHeight;
  return view;
}

// The legend: what can occur under the model that is chosen, and what occurs on the page.
function explain() {
  const chosen = models.selectedOptions[0], seen = new Set(), alone = /:(expert|drafter)$/.test(models.value);
  if (chosen && !alone) ["agreed", "deferred", "plain"].forEach((word) => seen.add(word));
  if (chosen && !alone && chosen.dataset.lossless !== "yes") seen.add("kept");
  for (const token of kept.turns.flatMap((turn) => turn.tokens)) {
    seen.add(token.status);
    if (isCopied(token)) seen.add("copied");
  }
  if (seen.has("agreed") || seen.has("deferred")) ["q", "p", "plain"].forEach((word) => seen.add(word));
  for (const each of at("legend").children) each.hidden = !seen.has(each.dataset.of);
  at("legend").hidden = ![...at("legend").children].some((each) => !each.hidden);
}

// --- What a token tells ----------------------------------------------------------------------------------------------

function show(token) {
  document.querySelectorAll("[aria-describedby]").forEach((each) => each.removeAttribute("aria-describedby"));
  tip.hidden = !token;
  if (!token) return;
  token.setAttribute("aria-describedby", "tip");
  tip.textContent = tips.get(token);
  const lines = [...token.getClientRects()], over = lines[lines.length - 1], mine = tip.getBoundingClientRect();
  const below = over.bottom + 4 + mine.height <= innerHeight, left = Math.min(over.left, innerWidth - mine.width - 8);
  tip.style.left = `${Math.max(8, left)}px`;
  tip.style.top = `${below ? over.bottom + 4 : Math.max(4, lines[0].top - mine.height - 4)}px`;
}

const tokenOf = (event) => event.target.closest(".t");
chat.addEventListener("mouseover", (event) => tokenOf(event) && show(tokenOf(event)));
chat.addEventListener("mouseout", (event) => tokenOf(event) && show(chat.querySelector(".t:focus")));
chat.addEventListener("focusin", (event) => show(tokenOf(event)));
chat.addEventListener("focusout", () => show(null));
chat.addEventListener("click", (event) => show(tokenOf(event)));
// What is pointed at or focused may have been scrolled to by that very act.
chat.addEventListener("scroll", () => {
  const token = chat.querySelector(".t:hover") || chat.querySelector(".t:focus"), page = chat.getBoundingClientRect();
  const over = token && !tip.hidden ? token.getBoundingClientRect() : page;
  show(token && !tip.hidden && over.bottom > page.top && over.top < page.bottom ? token : null);
}, { passive: true });
chat.addEventListener("keydown", (event) => {
  const token = tokenOf(event);
  if (!token) return;
  const all = [...token.parentNode.querySelectorAll(".t")], here = all.indexOf(token);
  const to = { ArrowRight: here + 1, ArrowLeft: here - 1, Home: 0, End: all.length - 1 }[event.key];
  if (event.key === "Escape") show(null);
  if (all[to] === undefined) return;
  event.preventDefault();
  token.tabIndex = -1;
  all[to].tabIndex = 0;
  all[to].focus();
  show(all[to]);
});

// --- The endpoint ----------------------------------------------------------------------------------------------------

class Told extends Error {} // an error whose words are for people

function headers(more = {}) {
  const key = at("key").value.trim();
  if (!/^[\x20-\x7e]*$/.test(key)) throw new Told("an API key has plain letters, digits and signs only");
  return key ? { ...more, Authorization: `Bearer ${key}` } : more;
}

async function request(path, options = {}) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Told("the server cannot be reached: is it still running?");
  }
  if (response.ok) return response;
  const error = (await response.json().catch(() => ({}))).error || {};
  if (response.status === 401) {
    at("locked").hidden = false;
    throw new Told(at("key").value ? "the API key is wrong" : "this server wants an API key");
  }
  let text = error.message || `the server answers ${response.status} ${response.statusText}`;
  const retry = response.headers.get("Retry-After");
  if (error.type === "exceed_context_size_error") text += ": begin a new chat";
  throw new Told(response.status === 503 && retry ? `${text} (in ${retry} s)` : text);
}

async function loadModels() {
  try {
    const listed = (await (await request("v1/models", { headers: headers() })).json()).data;
    pair = listed[0].id;
    models.replaceChildren();
    listed.forEach((each) => offer(each));
    models.append(new Option("another rule ...", ""));
    const wanted = kept.model || recall("speccas-model");
    if (wanted && ![...models.options].some((each) => each.value === wanted)) await look(wanted).catch(() => {});
    models.value = [...models.options].some((each) => each.value === wanted) && wanted ? wanted : pair;
    models.disabled = at("send").disabled = false;
    say("");
  } catch (error) {
    say(error instanceof Told ? error.message : "this server does not list its models as it should", true);
  }
  choose();
}

function offer(model) {
  const lossless = (model.speccas || {}).lossless === true;
  const option = new Option(lossless ? `${model.id} (lossless)` : model.id, model.id);
  option.dataset.lossless = lossless ? "yes" : "no";
  models.add(option, models.querySelector("option[value='']"));
}

async function look(name) {
  offer(await (await request(`v1/models/${encodeURIComponent(name)}`, { headers: headers() })).json());
}

function choose() {
  at("rule").hidden = models.disabled || models.value !== "";
  if (!at("rule").hidden) at("rule").focus();
  kept.model = models.value;
  keep("speccas-model", models.value);
  explain();
}

async function chooseRule() {
  const rule = at("rule").value.trim(), name = rule.startsWith(`${pair}:`) ? rule : `${pair}:${rule}`;
  if (!rule) return;
  try {
    if (![...models.options].some((each) => each.value === name)) await look(name);
    models.value = name;
    at("rule").value = "";
    say("");
    choose();
    box.focus();
  } catch (error) {
    say(error.message, true);
  }
}

async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = ""; ; ) {
    const { value, done } = await reader.read();
    if (done) return;
    const whole = (rest + value).split("\n\n");
    rest = whole.pop();
    yield* whole;
  }
}

function messages() {
  return kept.turns.flatMap((turn) => [
    { role: "user", content: turn.asked },
    ...(turn.raw ? [{ role: "assistant", content: turn.raw }] : []),
  ]);
}

function take(turn, view, chunk) {
  if (chunk.error) throw new Told(chunk.error.message);
  const tokens = (chunk.speccas || {}).tokens || [], choice = (chunk.choices || [])[0] || {};
  const text = (choice.delta || {}).content || "", down = low();
  turn.raw += text;
  for (const { status, source, q, p, turned_down, ...each } of tokens) {
    turn.parts.push(turn.tokens.length);
    turn.tokens.push({ text: each.text, status, source, q, p, turned_down });
    view.token(turn.tokens[turn.tokens.length - 1]);
  }
  if (text && !tokens.length) {
    turn.parts.push(text);
    view.plain(text);
  }
  if (tokens.length) {
    say("");
    const now = performance.now();
    turn.since = turn.since || [now, turn.tokens.length];
    const [first, before] = turn.since;
    turn.speed = now - first > 200 ? (1e3 * (turn.tokens.length - before)) / (now - first) : 0;
  }
  if (choice.finish_reason) {
    turn.speed = (chunk.timings || {}).predicted_per_second || turn.speed;
    turn.finish = (chunk.speccas || {}).finish || choice.finish_reason;
  }
  view.tell();
  if (tokens.length) explain();
  if (down) chat.scrollTop = chat.scrollHeight;
}

async function listen(turn, view, signal) {
  const body = { model: turn.model, stream: true, messages: messages(), speccas: { statuses: true } };
  const sent = headers({ "Content-Type": "application/json" });
  const response = await request("v1/chat/completions", { method: "POST", headers: sent, body: JSON.stringify(body), signal });
  try {
    for await (const event of events(response.body)) {
      if (event.startsWith(":")) say(turn.tokens.length ? "" : `${event.slice(1).trim()} ...`);
      else if (event === "data: [DONE]") return;
      else if (event.startsWith("data: ")) take(turn, view, JSON.parse(event.slice(6)));
    }
  } catch (error) {
    if (error instanceof Told || error.name === "AbortError") throw error;
  }
  throw new Told("the server went away in the middle of the answer");
}

async function ask(asked) {
  const lossless = models.selectedOptions[0].dataset.lossless === "yes", controller = new AbortController();
  const turn = { model: models.value, lossless, asked, raw: "", tokens: [], parts: [], finish: "", error: "" };
  kept.turns.push(turn);
  const view = draw(turn);
  running = { controller, turn };
  busy(true);
  say("asking ...");
  let wrong = "";
  try {
    await listen(turn, view, controller.signal);
  } catch (error) {
    if (error.name === "AbortError") turn.finish = "stopped";
    else wrong = error instanceof Told ? error.message : `this page failed: ${error.message}`;
  }
  running = null;
  busy(false);
  if (!kept.turns.includes(turn)) return; // a new chat was begun
  delete turn.since;
  if (turn.raw) turn.error = wrong;
  else if (wrong || turn.finish === "stopped") takeBack(turn, view);
  say(turn.raw ? "" : wrong, true);
  view.tell();
  save();
}

// Nothing was answered: the message goes back to where it was written.
function takeBack(turn, view) {
  kept.turns = kept.turns.filter((each) => each !== turn);
  view.section.remove();
  at("empty").hidden = kept.turns.length > 0;
  box.value = box.value || turn.asked;
  explain();
}

function busy(on) {
  at("send").hidden = on;
  at("stop").hidden = !on;
  chat.setAttribute("aria-busy", String(on));
}

function restart() {
  if (running) running.controller.abort();
  kept.turns = [];
  views.forEach((view) => view.section.remove());
  views = [];
  at("empty").hidden = false;
  show(null);
  say("");
  explain();
  save();
  box.focus();
}

function restore() {
  try {
    const was = JSON.parse(recall("speccas-chat") || "{}");
    kept.model = was.model || "";
    kept.turns = was.turns || [];
    box.value = was.draft || "";
    kept.turns.forEach(draw);
  } catch {
    restart();
  }
}

function leave() {
  const turn = running && running.turn;
  if (turn && turn.raw) turn.finish = "stopped";
  const draft = turn && !turn.raw ? turn.asked : box.value;
  const turns = kept.turns.filter((each) => each.raw || each.finish);
  keep("speccas-chat", JSON.stringify({ ...kept, turns, draft }));
}

// --- Begin -----------------------------------------------------------------------------------------------------------

at("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = box.value.trim();
  if (!text || running || at("send").disabled || !models.value) return;
  box.value = "";
  ask(text);
});
box.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  at("ask").requestSubmit();
});
at("stop").addEventListener("click", () => running && running.controller.abort());
at("new").addEventListener("click", restart);
models.addEventListener("change", choose);
at("rule").addEventListener("change", chooseRule);
at("key").addEventListener("change", () => {
  keep("speccas-key", at("key").value.trim());
  loadModels();
});
addEventListener("pagehide", leave);
at("key").value = recall("speccas-key");
at("locked").hidden = !at("key").value;
restore();
loadModels();
