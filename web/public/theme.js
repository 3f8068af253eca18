// The theme chosen by hand, if one was ("light" or "dark"); otherwise the system's.
try {
  const chosen = localStorage.getItem("clearseek.theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch {
  // storage is blocked: the system's theme it is
}
