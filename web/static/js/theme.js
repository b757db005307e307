// Change the theme without loading the page again; the form does the same where this script does not run.
const YEAR_S = 365 * 24 * 3600;

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.matches("form.themes") || !event.submitter) return;
  event.preventDefault();
  const theme = event.submitter.value;
  document.cookie = `theme=${theme}; path=/; max-age=${YEAR_S}; samesite=lax`;
  document.documentElement.dataset.theme = theme;
  document.querySelector('meta[name="color-scheme"]').content = theme === "system" ? "light dark" : theme;
  for (const button of document.querySelectorAll(".themes button")) {
    button.setAttribute("aria-pressed", String(button.value === theme));
  }
});
