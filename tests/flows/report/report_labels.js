// Labels of all charts: those outside their drawing, and neighbours on an axis that touch.
(() => {
  const outside = [], touching = [], texts = [];
  for (const svg of document.querySelectorAll(".plot svg")) {
    const box = svg.getBoundingClientRect();
    for (const text of svg.querySelectorAll("text")) {
      const at = text.getBoundingClientRect(), style = getComputedStyle(text);
      if (!at.width || style.opacity === "0" || text.getAttribute("opacity") === "0") continue;
      texts.push(text.textContent);
      if (at.left < box.left - 1 || at.right > box.right + 1) outside.push(text.textContent);
    }
    for (const axis of svg.querySelectorAll(".role-axis-label")) {
      const all = [...axis.querySelectorAll("text")].filter((t) => t.getAttribute("opacity") !== "0" && !/rotate/.test(t.getAttribute("transform")));
      const at = all.map((t) => t.getBoundingClientRect()).filter((b) => b.width);
      for (let i = 1; i < at.length; i++) {
        const [a, b] = [at[i - 1], at[i]];
        if (a.left < b.right && b.left < a.right && a.top < b.bottom - 3 && b.top < a.bottom - 3) touching.push(all[i].textContent);
      }
    }
  }
  return { outside, touching, texts };
})()
