// The buttons of one task. A click asks first, then tells the kernel; what the kernel says comes back as text.
// A kernel that runs a cell may not hear: after a while the user is told what to type instead.

const UNHEARD_AFTER_MS = 1500;
const STALE_AFTER_MS = 1000; // the card above is drawn anew in far less, where it can be
const LABELS = { abort: "Abort", retry: "Retry" };

function render({ model, el }) {
  const row = document.createElement("div");
  row.className = "taskfc-buttons";
  row.setAttribute("role", "group");
  // what is typed here is meant for these buttons: the front end takes Enter and Escape for its own shortcuts
  row.addEventListener("keydown", (event) => event.stopPropagation());
  const choices = document.createElement("span");
  const status = document.createElement("span");
  status.className = "taskfc-buttons-status";
  status.setAttribute("role", "status");
  const stale = document.createElement("span");
  stale.setAttribute("role", "status");
  row.append(stale, choices, status);
  el.append(row);

  let number = 0; // of the last click
  let unheard = 0; // the timer that waits for the kernel to hear it

  const button = (text, act) => {
    const made = document.createElement("button");
    made.type = "button";
    made.className = "taskfc-button";
    made.textContent = text;
    made.addEventListener("click", act);
    return made;
  };

  const say = (text, command) => {
    status.replaceChildren(text);
    if (command) {
      const code = document.createElement("code");
      code.textContent = command;
      status.append(" ", code);
    }
  };

  const offer = () => {
    row.setAttribute("aria-label", model.get("what"));
    choices.replaceChildren(
      ...model.get("offers").map((verb) => button(LABELS[verb] ?? verb, () => ask(verb)))
    );
  };

  const ask = (verb) => {
    say("");
    const question = document.createElement("span");
    question.textContent = `${LABELS[verb] ?? verb} ${model.get("what")}?`;
    const yes = button(`Yes, ${verb}`, () => act(verb));
    const no = button("No", back);
    choices.replaceChildren(question, yes, no);
    choices.onkeydown = (event) => {
      if (event.key === "Escape") back();
    };
    yes.focus();
  };

  const back = () => {
    choices.onkeydown = null;
    offer();
    choices.querySelector("button")?.focus();
  };

  const act = (verb) => {
    back();
    number += 1;
    say("…");
    const command = model.get("instead").replace("{verb}", verb);
    clearTimeout(unheard);
    unheard = setTimeout(
      () => say("The kernel is busy, or was restarted, and does not hear this. Type in a terminal:", command),
      UNHEARD_AFTER_MS
    );
    model.send({ do: verb, number });
  };

  const hear = (message) => {
    if (message?.number !== number) return;
    clearTimeout(unheard);
    if (message.said !== undefined) say(String(message.said));
  };

  // a page that was loaded anew keeps the card that was saved: nobody can draw that one again
  let looking = 0;
  const look = () => {
    clearTimeout(looking);
    looking = setTimeout(() => {
      const card = el.closest(".jp-OutputArea")?.querySelector(".taskfc-card[data-state]");
      const state = model.get("state");
      const isStale = card && state && card.dataset.state !== state;
      stale.replaceChildren();
      if (isStale) {
        const code = document.createElement("code");
        code.textContent = `%task show ${model.get("what").replace("task ", "")}`;
        stale.append(`Now ${state}; the card above is of before this page was loaded.`, " ", code);
      }
    }, STALE_AFTER_MS);
  };

  const isAsking = () => choices.onkeydown !== null;
  const change = () => {
    // a question stays, so that nothing moves under the pointer; the kernel says so if it comes too late
    if (!isAsking() || model.get("offers").length === 0) {
      choices.onkeydown = null;
      say(""); // of a state that has passed
      offer();
    }
  };

  model.on("change:state", look);
  model.on("change:offers", change);
  model.on("change:what", change);
  model.on("msg:custom", hear);
  offer();
  look();
  return () => {
    clearTimeout(unheard);
    clearTimeout(looking);
    model.off("change:state", look);
    model.off("change:offers", change);
    model.off("change:what", change);
    model.off("msg:custom", hear);
    row.remove();
  };
}

export default { render };
