// The live page: one WebSocket, a row for each topic, painted at most once a frame.
// Whatever comes from the server is written as text, never as markup.

const US = 1_000_000;
const RECONNECT_MS = { first: 500, most: 30_000, steady: 10_000 };
const QUIET = matchMedia('(prefers-reduced-motion: reduce)');
const $ = (id) => document.getElementById(id);

// ---- Words and numbers. Digits stay those of the upstream.

const grouped = (value) => String(value ?? '–').replace(/^(-?)(\d+)/, (_, sign, digits) =>
  sign + digits.replace(/\B(?=(\d{3})+$)/g, ','));
const words = (value) => String(value ?? '').replaceAll('_', ' ');
const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

function duration(us) {
  const seconds = Math.max(0, Math.floor(us / US));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86_400)} d`;
}

function percent(value) {
  if (value === undefined) return { text: '–' };
  const tone = Number(value) > 0 ? 'rise' : Number(value) < 0 ? 'fall' : '';
  return { text: `${tone === 'rise' ? '+' : ''}${Number(value).toFixed(2)} %`, tone };
}

// Fields that are times or stand in a column of their own.
const NOT_VALUES = new Set(['state', 'as_of', 'start', 'end', 'model']);
const values = (data) => Object.entries(data ?? {})
  .filter(([name]) => !NOT_VALUES.has(name)).slice(0, 8)
  .map(([name, value]) => (name === 'value' ? grouped(value) : `${words(name)} ${grouped(value)}`))
  .join(' · ') || '–';

// ---- Tables. A column: its class, and what a row shows in it.

const POSITION = { long: { text: 'Long', tone: 'rise' }, short: { text: 'Short', tone: 'fall' } };
const position = (row) => POSITION[row.data?.state] ?? capital(row.data?.state ?? '–');
const source = { show: (row) => row.source ?? '–', class: 'quiet' };
const changed = { show: (row) => since(row.rx), class: 'number quiet' };
const state = { show: stateText, class: 'state' };
const field = (name) => ({ show: (row) => grouped(row.data?.[name]), class: 'number' });
const valueList = { show: (row) => values(row.data), class: 'lead values', flash: true };

const TABLES = {
  prices: table('prices', [
    { show: (row) => (row.part ? row.tokens[2] : row.tokens[1]) },
    { ...field('price'), class: 'number lead', flash: true },
    field('bid'), field('ask'),
    { show: (row) => percent(row.data?.change_24h_pct), class: 'number' },
    { show: sources, class: 'quiet' }, changed, state,
  ]),
  signals: table('signals', [
    { show: (row) => row.tokens[1] ?? '–' },
    { show: (row) => words(row.tokens.slice(2).join(' ')) },
    valueList, { show: position }, source, changed, state,
  ]),
  chains: table('chains', [
    { show: (row) => capital(row.tokens[0] === 'market' ? 'market' : row.tokens[1] ?? '–') },
    { show: (row) => words(row.tokens.slice(row.tokens[0] === 'market' ? 1 : 2).join(' ')) },
    valueList, source, changed, state,
  ]),
  others: table('others', [{ show: (row) => row.topic }, valueList, source, changed, state]),
  feeds: table('feeds', [
    { show: (row) => row.tokens[1] ?? '–' },
    { show: (row) => since(delivered(row)), class: 'number' },
    { show: (row) => words(row.data?.breaker ?? '–') },
    field('budget_remaining'),
    { show: (row) => until(row.data?.retry_at), class: 'number' },
    state,
  ]),
};

const TABLE_OF = {
  price: 'prices', signal: 'signals', onchain: 'chains', market: 'chains', status: 'feeds',
};

function table(id, columns) {
  const section = $(id);
  return { section, body: section.querySelector('tbody'), columns, order: [] };
}

function sources(row) {
  const others = (row.data?.sources ?? 1) - 1;
  return `${row.source ?? '–'}${others > 0 ? ` + ${others}` : ''}`;
}

// ---- Rows.

const rows = new Map();
const dirty = new Set();
let clockOffset = 0; // Server time minus ours, in µs.
let listDirty = false;
let frame = 0;

const now = () => Date.now() * 1000 + clockOffset;
const since = (time) => (time === undefined ? '–' : duration(now() - time));
const until = (time) => (time > now() ? `in ${duration(time - now())}` : '–');
const delivered = (row) => (row.data?.age_ms === undefined
  ? undefined : row.rx - row.data.age_ms * 1000);

// A feed's row shows the feed's state, which is what its topic tells.
const stateOf = (row) => {
  if (!connection.open) return 'unknown';
  return row.home === TABLES.feeds ? row.data?.state ?? row.state : row.state;
};

function stateText(row) {
  const current = stateOf(row);
  if (current === 'unknown') return 'Not connected';
  const feed = row.home === TABLES.feeds;
  const parts = [capital(current)];
  if (current !== 'live') {
    const confirmed = feed ? delivered(row) : row.confirmed;
    const reason = feed ? row.data?.reason : row.reason;
    if (confirmed !== undefined) parts[0] += ` for ${since(confirmed)}`;
    if (reason) parts.push(words(reason));
    if (!feed && row.retryAt > now()) parts.push(`next try ${until(row.retryAt)}`);
  }
  return parts.join(', ');
}

function rowOf(topic) {
  const known = rows.get(topic);
  if (known) return known;
  const tokens = topic.split('.');
  const home = TABLES[TABLE_OF[tokens[0]] ?? 'others'];
  const element = document.createElement('tr');
  const cells = home.columns.map((column, index) => {
    const cell = document.createElement(index === 0 ? 'th' : 'td');
    if (index === 0) cell.scope = 'row';
    if (column.class) cell.className = column.class;
    element.append(cell);
    return { cell, text: '', tone: '' };
  });
  const part = tokens[0] === 'price' && tokens.length > 2;
  const row = { topic, tokens, home, element, cells, part, state: 'down' };
  element.classList.toggle('part', row.part);
  rows.set(topic, row);
  insert(home, row);
  listDirty = true;
  return row;
}

// By topic; the dot sorts first, so that a price's own sources follow it at once.
const sortKey = (row) => row.topic.replaceAll('.', ' ');

function insert(home, row) {
  const key = sortKey(row);
  let [low, high] = [0, home.order.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sortKey(home.order[middle]) < key) low = middle + 1; else high = middle;
  }
  home.body.insertBefore(row.element, home.order[low]?.element ?? null);
  home.order.splice(low, 0, row);
}

function clear() {
  for (const home of Object.values(TABLES)) {
    home.body.replaceChildren();
    home.order.length = 0;
  }
  rows.clear();
  dirty.clear();
  listDirty = true;
}

// ---- Painting.

function touch(changedRows) {
  for (const row of changedRows) dirty.add(row);
  frame ||= requestAnimationFrame(paint);
}

function paint() {
  frame = 0;
  if (listDirty) showMatching();
  for (const row of dirty) if (!row.element.hidden) paintRow(row);
  dirty.clear();
}

function paintRow(row) {
  const current = stateOf(row);
  if (row.element.dataset.state !== current) row.element.dataset.state = current;
  row.cells.forEach((slot, index) => {
    const column = row.home.columns[index];
    const shown = column.show(row);
    const { text = shown, tone = '' } = shown;
    if (slot.text !== text) {
      if (column.flash && row.painted && current === 'live') flash(slot.cell, slot.text, text);
      slot.text = text;
      slot.cell.textContent = text;
    }
    if (slot.tone !== tone) {
      slot.tone = tone;
      slot.cell.dataset.tone = tone;
    }
  });
  row.painted = true;
}

function flash(cell, before, after) {
  if (QUIET.matches || !cell.animate) return;
  const [from, to] = [before, after].map((text) => Number(text.replaceAll(',', '')));
  const kind = to > from ? 'rise' : to < from ? 'fall' : 'other';
  const frames = [{ backgroundColor: `var(--${kind}-flash)` }, { backgroundColor: 'transparent' }];
  cell.animate(frames, { duration: 900, easing: 'ease-out' });
}

function showMatching() {
  listDirty = false;
  const wanted = $('filter').value.trim().toLowerCase();
  const each = $('sources').checked;
  for (const home of Object.values(TABLES)) {
    for (const row of home.order) {
      const folded = row.part && !each && rows.has(row.tokens.slice(0, 2).join('.'));
      const matches = !wanted || row.topic.toLowerCase().includes(wanted)
        || row.source?.toLowerCase().includes(wanted);
      row.element.hidden = folded || !matches;
    }
    if (home !== TABLES.prices) home.section.hidden = home.order.length === 0;
  }
}

// ---- Messages.

const handlers = {
  welcome(message) {
    clockOffset = message.time - Date.now() * 1000;
    connection.heartbeatMs = message.heartbeat_ms;
    // A new numbering is a new server: what the old one said is gone.
    if (connection.epoch !== message.epoch) clear();
    connection.epoch = message.epoch;
    $('server').textContent = message.server.replace('tickwire/', '');
    connection.opened();
    const params = { topics: ['>'], mode: 'latest', max_rate: 5 };
    connection.socket.send(JSON.stringify({ id: 1, method: 'subscribe', params }));
  },
  snapshot(message) { take(message, message.state); },
  update(message) { take(message, 'live'); },
  status(message) {
    const row = rowOf(message.topic);
    row.state = message.state;
    row.source ??= message.source ?? undefined;
    row.reason = message.reason;
    row.retryAt = message.retry_at;
    row.confirmed = message.age_ms == null ? undefined : now() - message.age_ms * 1000;
    touch([row]);
  },
  gap({ topic, dropped, reason }) {
    if (dropped) notice(`${dropped} updates of ${topic} were lost: ${words(reason)}.`);
  },
  answer({ error, result }) {
    const refused = error ?? result?.topics?.find((row) => !row.ok)?.error;
    if (refused) notice(`The server refused: ${refused.message} (${refused.code}).`);
  },
  heartbeat(message) { clockOffset = message.time - Date.now() * 1000; },
  notice(message) {
    connection.reconnectAfterMs = message.reconnect_after_ms ?? connection.reconnectAfterMs;
    notice(message.code === 'draining' ? 'The server is about to stop; this page will reconnect.'
      : message.message ?? words(message.code));
  },
};

function take(message, newState) {
  const row = rowOf(message.topic);
  row.data = message.data;
  row.rx = message.rx;
  row.confirmed = message.rx;
  if (row.source !== message.source && $('filter').value) listDirty = true;
  row.source = message.source;
  row.state = newState;
  if (newState === 'live') row.reason = row.retryAt = undefined;
  touch([row]);
}

function receive(message) {
  const type = message.type ?? 'answer';
  // Unknown types are ignored, so that the protocol can grow.
  if (Object.hasOwn(handlers, type)) handlers[type](message);
}

function notice(text) {
  $('notice').textContent = text;
  $('notice').hidden = !text;
}

// ---- The connection.

const connection = {
  socket: undefined, open: false, epoch: undefined, heartbeatMs: 15_000, heardAt: 0,
  messages: 0, failures: 0, openedAt: 0, timer: 0, reconnectAfterMs: undefined,

  connect() {
    clearTimeout(this.timer);
    this.say('connecting', 'Connecting…');
    this.heardAt = performance.now();
    const socket = new WebSocket(endpoint, 'tickwire.v1.json');
    this.socket = socket;
    // A socket that was given up may still speak.
    const mine = (act) => (event) => { if (this.socket === socket) act(event); };
    socket.onmessage = mine((event) => {
      this.heardAt = performance.now();
      this.messages += 1;
      receive(JSON.parse(event.data));
    });
    socket.onclose = mine((event) => this.lost(event.code, words(event.reason)));
  },

  opened() {
    this.open = true;
    this.openedAt = performance.now();
    this.reconnectAfterMs = undefined;
    notice('');
    this.say('open', 'Connected');
  },

  // From 3500 on the server says that trying again as we are is of no use.
  lost(code, reason) {
    const steady = this.open && performance.now() - this.openedAt > RECONNECT_MS.steady;
    this.failures = steady ? 0 : this.failures + 1;
    this.open = false;
    this.socket = undefined;
    touch(rows.values());
    const why = reason || (code === 1006 ? 'no connection' : `code ${code}`);
    if (code >= 3500 && code < 4000) {
      this.say('closed', `Closed by the server: ${why} (${code}). Not trying again.`);
      return;
    }
    const bound = Math.min(RECONNECT_MS.most, RECONNECT_MS.first * 2 ** this.failures);
    // Half fixed, half random, so that many pages do not return at once.
    const delay = this.reconnectAfterMs ?? bound / 2 + (Math.random() * bound) / 2;
    this.reconnectAfterMs = undefined;
    this.timer = setTimeout(() => this.connect(), delay);
    this.say('lost', `Connection lost: ${why}. Trying again in ${Math.ceil(delay / 1000)} s.`);
  },

  // A link can die without a word; the server's heartbeats tell.
  check() {
    const { socket } = this;
    if (!socket || performance.now() - this.heardAt < 2.5 * this.heartbeatMs) return;
    this.socket = undefined;
    socket.close();
    this.lost(0, 'nothing was heard');
  },

  say(name, text) {
    document.body.dataset.connection = name;
    $('connection').textContent = text;
    $('reconnect').hidden = name !== 'closed';
  },
};

// ---- Each second: ages, figures, the watch on the link.

const rates = [];

function tick() {
  connection.check();
  touch(rows.values());
  const counts = { live: 0, stale: 0, down: 0 };
  for (const row of rows.values()) counts[row.state] += 1;
  for (const [name, count] of Object.entries(counts)) {
    $(name).textContent = connection.open ? grouped(count) : '–';
  }
  rates.push(connection.messages);
  connection.messages = 0;
  if (rates.length > 3) rates.shift();
  const mean = rates.reduce((sum, count) => sum + count, 0) / rates.length;
  $('rate').textContent = grouped(Math.round(mean));
}

// ---- Start.

const endpoint = new URL('v1/ws', document.baseURI);
endpoint.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:';
const snapshots = new URL('v1/snapshot?topics=price.*', document.baseURI);
const request = '{"id":1,"method":"subscribe","params":{"topics":["price.*"],"mode":"every"}}';
$('try-curl').textContent = `curl --compressed '${snapshots.href}'`;
$('try-websocat').textContent = `echo '${request}' | websocat -n '${endpoint.href}'`;
$('try-python').textContent = [
  'from websockets.sync.client import connect',
  `with connect("${endpoint.href}") as ws:`,
  `    ws.send('${request}')`,
  '    for message in ws: print(message)',
].join('\n');

const relist = () => { listDirty = true; touch(rows.values()); };
$('filter').addEventListener('input', relist);
$('sources').addEventListener('change', relist);
$('controls').addEventListener('submit', (event) => event.preventDefault());
$('reconnect').addEventListener('click', () => connection.connect());
addEventListener('online', () => { if (!connection.socket) connection.connect(); });
setInterval(tick, 1000);
connection.connect();
