/** Reads deploy/Dockerfile into stages and steps, which image.test.ts judges and replay.ts performs. */

import { DockerfileParser, type Instruction, type ModifiableInstruction } from 'dockerfile-ast';

export interface Step {
  readonly keyword: string;
  /** `--from=build` -> from: build. */
  readonly flags: ReadonlyMap<string, string>;
  /** The words behind the flags; of the exec form, its strings. */
  readonly words: readonly string[];
  /** Whether it is a JSON array, which is run as it stands and by no shell. */
  readonly exec: boolean;
}

export interface Stage {
  readonly image: string;
  readonly name: string | undefined;
  readonly steps: readonly Step[];
}

export function readDockerfile(text: string): Stage[] {
  const stages: (Stage & { readonly steps: Step[] })[] = [];
  for (const instruction of DockerfileParser.parse(text).getInstructions()) {
    const step = stepOf(instruction);
    if (step.keyword === 'FROM') {
      const [image = '', , name] = step.words;
      stages.push({ image, name, steps: [] });
    } else {
      const stage = stages.at(-1);
      if (!stage) throw new Error(`${step.keyword} before the first FROM`);
      stage.steps.push(step);
    }
  }
  return stages;
}

function stepOf(instruction: Instruction): Step {
  const keyword = instruction.getKeyword();
  const flags = new Map(
    'getFlags' in instruction
      ? (instruction as ModifiableInstruction).getFlags().map((flag) => [flag.getName(), flag.getValue() ?? ''])
      : [],
  );
  const words = instruction
    .getArguments()
    .map((argument) => argument.getValue())
    .filter((word) => !word.startsWith('--') || !flags.has(word.slice(2, word.indexOf('='))));
  // Of a HEALTHCHECK, the command stands behind the word CMD.
  const text = (keyword === 'HEALTHCHECK' ? words.slice(1) : words).join(' ');
  return text.startsWith('[')
    ? { keyword, flags, words: JSON.parse(text) as string[], exec: true }
    : { keyword, flags, words, exec: false };
}
