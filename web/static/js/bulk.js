// Choosing rows of a list: count what is chosen, choose a whole page, and keep the choice when the list is drawn again.
const chosen = new Set();
const opened = new Set(); // ids of what was unfolded; the server draws it folded

function listOf(form) {
  return document.getElementById(form.dataset.bulk);
}

function boxes(form) {
  return [...listOf(form).querySelectorAll("tbody input[type=checkbox]")].filter((box) => box.form === form);
}

function show(form) {
  const all = form.querySelector("[data-bulk-all]")?.checked ?? false;
  const ticked = boxes(form).filter((box) => box.checked).length;
  form.querySelector("[data-bulk-count]").textContent = all ? "all" : ticked ? String(ticked) : "selected";
  const noun = form.querySelector("[data-bulk-noun]");
  if (noun) noun.textContent = noun.dataset.bulkNoun + (ticked === 1 && !all ? "" : "s");
  form.classList.toggle("has-choice", all || ticked > 0);
  const page = listOf(form).querySelector("[data-bulk-page]");
  if (page) {
    page.checked = ticked > 0 && ticked === boxes(form).length;
    page.indeterminate = ticked > 0 && !page.checked;
  }
}

function restore() {
  for (const form of document.querySelectorAll("form[data-bulk]")) {
    for (const box of boxes(form)) box.checked = chosen.has(box.value);
    for (const fold of form.querySelectorAll("details[id]")) fold.open = opened.has(fold.id);
    show(form);
  }
}

document.addEventListener("change", (event) => {
  const box = event.target;
  if (!(box instanceof HTMLInputElement) || box.type !== "checkbox") return;
  const form = box.form?.dataset.bulk ? box.form : document.querySelector("form[data-bulk]");
  if (!form || !(listOf(form)?.contains(box) || form.contains(box))) return;
  const changed = box.matches("[data-bulk-page]") ? boxes(form) : boxes(form).includes(box) ? [box] : [];
  for (const each of changed) {
    each.checked = box.checked;
    if (each.checked) chosen.add(each.value);
    else chosen.delete(each.value);
  }
  show(form);
});

document.addEventListener("click", (event) => {
  const fold = event.target.closest("form[data-bulk] summary")?.parentElement;
  if (!fold) return;
  if (fold.open) opened.delete(fold.id);
  else opened.add(fold.id);
});

document.addEventListener("htmx:after:swap", restore);
restore();
