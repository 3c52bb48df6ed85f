// What the page holds beyond its tables: packed, unpacked when it is first asked for.

async function inflate(packed) {
  const bytes = Uint8Array.from(atob(packed), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return JSON.parse(await new Response(stream).text());
}

const once = (make) => {
  let made = null;
  return () => (made ??= make());
};

const load = once(() => inflate(document.getElementById("data").textContent));

// A line of every architecture, with names for its columns.
const listed = once(async () => {
  const { cases } = await load();
  if (!cases) return [];
  return cases.lines.map(([number, digest, verdict, unsure, seconds, least, ops]) => {
    const digits = {};
    cases.dtypes.forEach((dtype, i) => (digits[dtype] = [least[2 * i] ?? null, least[2 * i + 1] ?? null]));
    const shown = verdict === "agree" && unsure ? "inconclusive" : verdict;
    return { number, digest, verdict: shown, seconds, digits, ops: ops.map((op) => cases.ops[op]) };
  });
});

// All that is known of one architecture: what was packed for the store.
async function whole(digest) {
  const { cases, failures } = await load();
  const packed = cases?.whole[digest];
  if (packed) return inflate(packed);
  const failure = failures.find((f) => f.digest.startsWith(digest));
  return failure ? { architecture: failure.architecture, digest: failure.digest, shapes: {}, values: {}, labels: [], dtypes: [] } : null;
}
