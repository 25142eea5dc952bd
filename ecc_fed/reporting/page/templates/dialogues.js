// Chooses among the dialogues that stand in the page; without it all of them are there.
(() => {
  const form = document.getElementById("filter");
  const said = form.querySelector("output");
  const plain = (text) => text.normalize("NFKC").toLowerCase();
  const sections = [...document.querySelectorAll("section.outcome")].map((element) => ({
    element,
    dialogues: [...element.querySelectorAll("details.dialogue")].map((details) => {
      const replies = [...details.querySelectorAll("[data-arm]")];
      const rest = details.cloneNode(true);
      for (const reply of rest.querySelectorAll("[data-arm]")) reply.remove();
      return {
        details,
        text: plain(rest.textContent),
        replies: replies.map((element) => ({ element, text: plain(element.textContent) })),
      };
    }),
  }));
  const total = sections.reduce((sum, section) => sum + section.dialogues.length, 0);

  const show = () => {
    const wanted = Object.fromEntries(new FormData(form));
    const words = plain(wanted.text).split(/\s+/).filter(Boolean);
    const has = (element, name) => !wanted[name] || element.dataset[name] === wanted[name];
    let count = 0;
    for (const { element, dialogues } of sections) {
      let here = 0;
      for (const { details, text, replies } of dialogues) {
        // A reply that is not asked for neither shows nor counts.
        for (const reply of replies) reply.element.hidden = !has(reply.element, "arm");
        const fitting = replies.filter(({ element: of }) => has(of, "arm") && has(of, "facts") && has(of, "judge"));
        const read = [text, ...fitting.map((reply) => reply.text)].join(" ");
        const fits = has(element, "outcome") && has(details, "shop") && has(details, "intent") &&
          fitting.length > 0 && words.every((word) => read.includes(word));
        details.hidden = !fits;
        here += fits;
      }
      element.hidden = here === 0;
      count += here;
    }
    said.textContent = `${count} of ${total} dialogues shown`;
  };

  form.hidden = false;
  form.addEventListener("input", show);
  form.addEventListener("submit", (event) => event.preventDefault());
  // The fields have their first values only after the event.
  form.addEventListener("reset", () => setTimeout(show));
  // A browser that comes back to the page may have filled the form again.
  show();
})();
