// Show a confirmation that htmx fetched in a dialog. Without scripts its link leads to the same question as a page.
const dialog = document.getElementById("dialog");

document.addEventListener("htmx:after:swap", () => {
  const body = dialog.querySelector("#dialog-body");
  if (!dialog.open && body.querySelector("#confirm")) dialog.showModal();
});

dialog.addEventListener("close", () => dialog.querySelector("#dialog-body").replaceChildren());

dialog.addEventListener("click", (event) => {
  const isOutside = event.target === dialog;
  if (!isOutside && !event.target.closest("[data-close-dialog]")) return;
  event.preventDefault();
  dialog.close();
});
