// Menus are <details>: they open without this. It closes them on Escape, on a click elsewhere, and when another opens.
const MENUS = "details.switcher[open], details.user-menu[open], details.drawer[open]";

function closeAll(except) {
  for (const menu of document.querySelectorAll(MENUS)) {
    if (!except || !menu.contains(except)) menu.open = false;
  }
}

document.addEventListener("click", (event) => closeAll(event.target));
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  const inner = [...document.querySelectorAll(MENUS)].pop();
  if (!inner) return;
  inner.open = false;
  inner.querySelector("summary").focus();
});
