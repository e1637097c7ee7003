// Light, dark, or as the system has it.

const ORDER = ["auto", "light", "dark"];

export function startTheme(button) {
  let current = localStorage.getItem("theme") ?? "auto";
  const apply = () => {
    document.documentElement.dataset.theme = current;
    button.textContent = { auto: "◐ Auto", light: "○ Light", dark: "● Dark" }[current];
    button.setAttribute("aria-label", `Colours: ${current}. Change`);
  };
  button.addEventListener("click", () => {
    current = ORDER[(ORDER.indexOf(current) + 1) % ORDER.length];
    localStorage.setItem("theme", current);
    apply();
  });
  apply();
}
