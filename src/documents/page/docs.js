// Shows the documents that the server writes about itself. Builds elements and sets their text:
// nothing in a document can become markup.

const by = (id) => document.getElementById(id);

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children.filter((child) => child !== undefined && child !== null));
  return made;
}

const code = (text) => element('code', {}, text);

/** Text in which `…` is code. */
function prose(text = '') {
  return text.split('`').map((part, index) => (index % 2 ? code(part) : part));
}

function table(titles, rows) {
  const head = element('tr', {}, ...titles.map((title) => element('th', { scope: 'col' }, title)));
  const body = rows.map((cells) =>
    element('tr', {}, ...cells.map((cell) => element('td', {}, ...[cell].flat()))));
  const whole = element('table', {}, element('thead', {}, head), element('tbody', {}, ...body));
  return element('div', { class: 'scroll', tabindex: '0' }, whole);
}

/** What a schema refers to, with the description that stands beside the reference. */
function resolve(schema, root) {
  if (!schema?.$ref) return schema ?? {};
  let found = root;
  for (const part of schema.$ref.slice(2).split('/')) {
    found = found?.[part.replaceAll('~1', '/').replaceAll('~0', '~')];
  }
  return { ...resolve(found, root), ...(schema.description ? { description: schema.description } : {}) };
}

/** A schema's type in a few words. */
function kind(schema, root, depth = 0) {
  const it = resolve(schema, root);
  if (it.const !== undefined) return JSON.stringify(it.const);
  if (it.enum) return it.enum.map((value) => JSON.stringify(value)).join(' | ');
  const options = it.oneOf ?? it.anyOf;
  if (options) return [...new Set(options.map((option) => kind(option, root, depth + 1)))].join(' | ');
  const types = [it.type ?? 'any'].flat();
  return types.map((type) => {
    if (type === 'array') return depth > 2 ? 'array' : `array of ${kind(it.items, root, depth + 1)}`;
    if (type === 'object' && it.additionalProperties?.$ref) return 'object of values';
    return it.pattern && type === 'string' ? `string ${it.pattern}` : type;
  }).join(' | ');
}

/** The properties of an object as rows, those of objects within as dotted names. */
function properties(schema, root, prefix = '', depth = 0) {
  const it = resolve(schema, root);
  const required = it.required ?? [];
  return Object.entries(it.properties ?? {}).flatMap(([name, property]) => {
    const inner = resolve(property, root);
    const items = resolve(inner.items, root);
    const optional = required.includes(name) ? '' : ', optional';
    const fallback = inner.default === undefined || typeof inner.default === 'object'
      ? '' : ` Default: \`${inner.default}\`.`;
    const row = [
      code(prefix + name),
      element('span', { class: 'kind' }, kind(property, root) + optional),
      prose((inner.description ?? '') + fallback),
    ];
    if (depth > 2) return [row];
    if (inner.properties) return [row, ...properties(inner, root, `${prefix}${name}.`, depth + 1)];
    if (items.properties) return [row, ...properties(items, root, `${prefix}${name}[].`, depth + 1)];
    return [row];
  });
}

const COLUMNS = ['Name', 'Type', 'Meaning'];

function example(value) {
  return value === undefined ? undefined : element('pre', {}, JSON.stringify(value, null, 1)
    .replaceAll(/\n\s*/g, ' '));
}

function message(title, about, found, root) {
  const schema = resolve(found.payload, root);
  const rows = properties(schema, root);
  return element('article', {},
    element('h3', { id: `message-${found.name}-${about.split(' ')[0]}` }, code(title), ' ',
      element('span', { class: 'kind' }, about)),
    element('p', {}, ...prose(schema.description)),
    example(found.examples?.[0]?.payload),
    rows.length ? table(COLUMNS, rows) : undefined);
}

function showWebSocket(root) {
  const channel = root.channels.session;
  const names = Object.keys(root.components.messages);
  const part = (end) => names.filter((name) => name.endsWith(end));
  const shown = [];
  for (const name of part('.request')) {
    shown.push(message(name.replace('.request', ''), 'request', root.components.messages[name], root));
    const reply = root.components.messages[name.replace('.request', '.reply')];
    if (reply) shown.push(message(name.replace('.request', ''), 'answer', reply, root));
  }
  for (const name of names.filter((name) => !name.includes('.'))) {
    shown.push(message(name, 'from the server', root.components.messages[name], root));
  }
  by('messages').append(element('p', {}, code(channel.address), ' — ', ...prose(channel.description)), ...shown);
  by('code-tables').append(
    element('h3', {}, 'Errors'),
    table(['Code', 'Retry'], channel['x-errors'].map((error) =>
      [code(error.code), error.retryable ? 'the same request may succeed later' : ''])),
    element('h3', {}, 'Closes'),
    table(['Code', 'Reason', 'Reconnect'], channel['x-closes'].map((close) =>
      [code(String(close.code)), close.reason, close.reconnect ? 'yes' : 'not as you are'])));
}

function showHttp(root) {
  for (const group of root.tags) {
    const routes = Object.entries(root.paths).filter(([, path]) => (path.get ?? path.post).tags[0] === group.name);
    by('routes').append(element('h3', {}, group.description));
    for (const [path, operations] of routes) {
      const get = operations.get ?? operations.post;
      const parameters = (get.parameters ?? []).filter((parameter) => parameter.in !== 'header').map((parameter) =>
        [code(parameter.name), element('span', { class: 'kind' },
          kind(parameter.schema, root) + (parameter.required ? '' : ', optional')),
        prose(parameter.description)]);
      const body = get.responses['200']?.content?.['application/json']?.schema;
      const rows = body ? properties(body, root) : [];
      by('routes').append(element('article', {},
        element('h3', {}, code(`${operations.get ? 'GET' : 'POST'} ${path}`)), element('p', {}, ...prose(get.summary)),
        parameters.length ? table(['Parameter', 'Type', 'Meaning'], parameters) : undefined,
        rows.length ? table(['Answer', 'Type', 'Meaning'], rows) : undefined));
    }
  }
}

function showConfig(root) {
  for (const [name, section] of Object.entries(root.properties)) {
    const it = resolve(section, root);
    const rows = properties(it.items ? it.items : section, root);
    by('keys').append(element('article', {},
      element('h3', {}, code(it.items ? `[[${name}]]` : `[${name}]`)),
      element('p', {}, ...prose(it.description)), table(['Key', 'Type', 'Meaning'], rows)));
  }
}

async function load(path, show) {
  try {
    const response = await fetch(path);
    if (!response.ok) throw new Error(`${path} answers ${response.status}`);
    show(await response.json());
  } catch (error) {
    by('notice').hidden = false;
    by('notice').append(`${path} cannot be shown: ${error.message}. `);
  }
}

for (const title of document.querySelectorAll('h2')) {
  by('contents').append(element('a', { href: `#${title.id}` }, title.textContent));
}
await Promise.all([
  load('asyncapi.json', showWebSocket),
  load('openapi.json', showHttp),
  load('schemas/config.json', showConfig),
]);
if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
