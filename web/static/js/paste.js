// Read the text that "Copy all" copies, and fill the three fields. web/pairing_text.py reads it the same way.
const LINES = {
  peer_site_name: /^\s*site(?:\s+name)?\s*[:=]\s*(.+?)\s*$/im,
  peer_connector_id: /^\s*connector(?:\s+id)?\s*[:=]\s*(\S+)\s*$/im,
  code: /^\s*(?:pairing\s+)?code\s*[:=]\s*(.+?)\s*$/im,
};

export function parsePairing(text) {
  const found = {};
  for (const [name, line] of Object.entries(LINES)) {
    const match = text.match(line);
    if (match) found[name] = match[1];
  }
  return found;
}

function fill(form, found) {
  for (const [name, value] of Object.entries(found)) form.elements[name].value = value;
  const names = Object.keys(found).length;
  const result = form.querySelector("[data-paste-result]");
  if (!result) return;
  if (names === 3) result.textContent = "All three fields are filled.";
  else result.textContent = `Only ${names} of 3 fields are in this text. Copy it again with “Copy all”, or type the rest.`;
}

document.addEventListener("input", (event) => {
  const field = event.target;
  if (!field.matches("[data-paste-fills]") || !field.value.trim()) return;
  fill(field.form, parsePairing(field.value));
});

// Pasting everything into one of the three fields works too.
document.addEventListener("paste", (event) => {
  const field = event.target;
  if (!(field.name in LINES) || !field.form) return;
  const found = parsePairing(event.clipboardData.getData("text"));
  if (Object.keys(found).length < 2) return;
  event.preventDefault();
  fill(field.form, found);
});
