/** One of a few, as words. */

interface ChoiceProps {
  legend: string;
  name: string;
  options: readonly (readonly [string, string])[];
  value: string;
  choose: (value: string) => void;
}

export function Choice({ legend, name, options, value, choose }: ChoiceProps) {
  return (
    <fieldset class="choice">
      <legend class="offscreen">{legend}</legend>
      {options.map(([key, words]) => (
        <label key={key}>
          <input type="radio" name={name} value={key} checked={key === value} onChange={() => choose(key)} />
          <span>{words}</span>
        </label>
      ))}
    </fieldset>
  );
}
