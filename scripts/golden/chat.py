"""Conversations as transformers' `render_jinja_template` writes them by small chat templates in the manner of known models."""

import json

import jinja2
from common import GOLDEN, write_json
from transformers.utils.chat_template_utils import render_jinja_template

SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}

# Written for this file: each has the shape, and the constructs of the language, of the family that it is called after.
TEMPLATES = {
    "chatml": """{% for message in messages %}
<|im_start|>{{ message['role'] }}
{{ message.content }}<|im_end|>
{% endfor %}
{% if add_generation_prompt %}
<|im_start|>assistant
{% endif %}""",
    "qwen_default_system": """{%- if messages[0]['role'] == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}
{%- else %}
    {{- '<|im_start|>system\\nYou help.<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == "user" or (message.role == "assistant" and not message.tool_calls) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {{- '<|im_start|>' + message.role }}
        {%- for call in message.tool_calls %}
            {%- if call.function is defined %}{%- set call = call.function %}{%- endif %}
            {{- '\\n<tool_call>\\n{"name": "' ~ call.name ~ '", "arguments": ' }}{{- call.arguments | tojson }}{{- '}' }}
        {%- endfor %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == "tool" %}
        {%- if loop.index0 == 0 or messages[loop.index0 - 1].role != "tool" %}{{- '<|im_start|>user' }}{%- endif %}
        {{- '\\n<tool_response>\\n' + message.content + '\\n</tool_response>' }}
        {%- if loop.last or messages[loop.index0 + 1].role != "tool" %}{{- '<|im_end|>\\n' }}{%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}
""",
    "qwen3_thoughts": """{%- set ns = namespace(multi=true, last=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi and message.role == "user" %}{%- set ns.multi = false %}{%- set ns.last = index %}{%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- set content = message.content if message.content is string else '' %}
    {%- if message.role == "assistant" %}
        {%- set thoughts = '' %}
        {%- if message.reasoning_content is string %}
            {%- set thoughts = message.reasoning_content %}
        {%- elif '</think>' in content %}
            {%- set thoughts = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {%- if loop.index0 > ns.last %}
            {{- '<|im_start|>assistant\\n<think>\\n' + thoughts.strip('\\n') + '\\n</think>\\n\\n' + content }}
        {%- else %}
            {{- '<|im_start|>assistant\\n' + content }}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- else %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}
{%- endif %}""",
    "llama3": "{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start|>' + "
              "message['role'] + '<|end|>\n\n'+ message['content'] | trim + '<|eot|>' %}{% if loop.index0 == 0 %}"
              "{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}"
              "{{ '<|start|>assistant<|end|>\n\n' }}{% endif %}",
    "deepseek_distill": "{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}"
                        "{% set ns = namespace(system='', first=true) %}{%- for message in messages %}"
                        "{%- if message['role'] == 'system' %}{% set ns.system = message['content'] %}{%- endif %}{%- endfor %}"
                        "{{bos_token}}{{ns.system}}{%- for message in messages %}{%- if message['role'] == 'user' %}"
                        "{{'<\uff5cUser\uff5c>' + message['content']}}{%- endif %}{%- if message['role'] == 'assistant' and "
                        "message['content'] is not none %}{% set content = message['content'] %}{% if '</think>' in content %}"
                        "{% set content = content.split('</think>')[-1] %}{% endif %}{{'<\uff5cAssistant\uff5c>' + content + "
                        "'<\uff5cend\uff5c>'}}{%- endif %}{%- endfor -%}{% if add_generation_prompt %}"
                        "{{'<\uff5cAssistant\uff5c><think>\\n'}}{% endif %}",
    "mistral": "{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
               "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
               "{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}"
               "{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token}}"
               "{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}",
    "gemma": """{{ bos_token }}{% if messages[0]['role'] == 'system' %}{% set first = messages[0]['content'].strip() + '\\n\\n' %}\
{% set rest = messages[1:] %}{% else %}{% set first = '' %}{% set rest = messages %}{% endif %}
{% for message in rest %}
    {%- set role = 'model' if message['role'] == 'assistant' else message['role'] %}
    {{- '<start_of_turn>' + role + '\\n' + (first if loop.first else "") }}
    {%- if message['content'] is iterable and message['content'] is not string %}
        {%- for item in message['content'] %}{{ item['text'] | trim }}{%- endfor %}
    {%- else %}{{ message['content'] | trim }}{%- endif %}
    {{- '<end_of_turn>\\n' }}
{%- endfor %}
{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}
""",
    "zephyr": """{% for message in messages %}
    {% if message['role'] == 'user' %}
{{ '<|user|>\\n' + message['content'] + eos_token }}
    {% elif message['role'] == 'system' %}
{{ '<|system|>\\n' + message['content'] + eos_token }}
    {% else %}
{{ '<|assistant|>\\n'  + message['content'] + eos_token }}
    {% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}
""",
    "generation_marks": """{%- for message in messages %}
    {%- if message.role == 'assistant' %}
        {{- '<|assistant|>' }}
        {%- generation %}
        {{- message.content + eos_token }}
        {%- endgeneration %}
        {{- '\\n' }}
    {%- else %}
        {{- '<|' + message.role + '|>' + message.content + '\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|assistant|>' }}{%- endif %}""",
    "generation_marks_on_lines": """{% for message in messages %}
{% if message.role == 'assistant' %}
[assistant]
  {% generation %}
{{ message.content }}
  {% endgeneration %}
{% else %}
[{{ message.role }}]
{{ message.content }}
{% endif %}
{% endfor %}
""",
    "carriage_returns": "{% for message in messages %}\r\n{{ message.role | upper }}: {{ message.content }}\r\n{% endfor %}\r\n"
                        "{% if add_generation_prompt %}\r\nASSISTANT:{% endif %}\r\n",
    "macros": """{% macro turn(role, text, end='\\n') %}{{ role | capitalize }}: {{ text | replace('\\n', ' ') }}{{ end }}{% endmacro %}
{%- for message in messages if message.content %}{{ turn(message.role, message.content) }}{% endfor %}
{%- if add_generation_prompt %}{{ turn('assistant', '', end='') }}{% endif %}""",
    "loop_controls": """{%- for message in messages %}
{%- if message.role == 'system' %}{% continue %}{% endif %}
{%- if loop.index > 3 %}{% break %}{% endif %}
{{- loop.index }}/{{ loop.length }} {{ message.role }}: {{ message.content }};
{%- endfor %}""",
    "python_printing": """{{ none }} {{ true }} {{ 1.0 }} {{ 0.000001 }} {{ [1, 'it', "it's", none, 2.5] }} {{ {'a': [true]} }} \
{{ 3 | string }}{{ false | string }} {{ tools is iterable }} {{ missing is iterable }} {{ none is iterable }} {{ 7 // 2 }} {{ 7 / 2 }} \
{% for message in messages %}{{ message.role }}={{ message.content is defined }},{% endfor %}""",
    "json": """{{ {'text': messages[0].content, 'ok': true, 'x': [1, 2.0, none], 'empty': {}} | tojson }}
{{ messages[0] | tojson(indent=2) }}
{{ messages[0].content | tojson(ensure_ascii=true) }}
{{ {'b': 1, 'a': [2]} | tojson(sort_keys=true, separators=(',', ':')) }}""",
    "tools_are_falsy": """{% if tools %}tools{% else %}no tools{% endif %}{% if tools is not none %} not none{% endif %}
{% if documents is none %} none{% endif %}{% if date_string is not defined %}{% set date_string = "26 Jul 2024" %}{% endif %} {{ date_string }}""",
}

CONVERSATIONS = [
    [{"role": "user", "content": "What is 1 + 1?"}],
    [{"role": "system", "content": " Be brief. "}, {"role": "user", "content": "It's <b>5</b> & \"six\"?\n"}],
    [{"role": "user", "content": "2 * 3?"}, {"role": "assistant", "content": "<think>\nTwo threes.\n</think>\n\n6"}],
    [{"role": "system", "content": "S"}, {"role": "user", "content": "Un caf\u00e9 \u4f60\u597d \U0001f600"},
     {"role": "assistant", "content": "Oui."}, {"role": "user", "content": "Encore"},
     {"role": "assistant", "content": "Un\u00a0\u00e9tat"}],
    [{"role": "user", "content": "Weather?"},
     {"role": "assistant", "tool_calls": [{"function": {"name": "look", "arguments": {"city": "K\u00f6ln", "days": 2, "x": 1e-06}}}]},
     {"role": "tool", "content": "rain"}, {"role": "assistant", "content": "It rains.", "reasoning_content": "I looked."},
     {"role": "user", "content": "Thanks"}],
    [{"role": "assistant", "content": "I begin."}, {"role": "assistant", "content": ""}, {"role": "user", "content": "{{ 7 * 7 }}"}],
]


def case(template: str, conversation: int, add_generation_prompt: bool) -> dict:
    """What transformers makes of it: the text and the assistant's part of it, or that it refuses."""
    source, messages = TEMPLATES[template], CONVERSATIONS[conversation]
    marks = "endgeneration" in source and not add_generation_prompt
    row = {"template": template, "conversation": conversation, "add_generation_prompt": add_generation_prompt}
    try:
        texts, places = render_jinja_template([messages], chat_template=source, add_generation_prompt=add_generation_prompt,
                                              return_assistant_tokens_mask=marks, **SPECIAL)
    except (jinja2.exceptions.TemplateError, TypeError):
        return {**row, "text": None}
    replies = {"replies": [texts[0][start:end] for start, end in places[0] if end > start]} if marks else {}
    return {**row, "text": texts[0], **replies}


def main() -> None:
    """chat.json."""
    # What transformers does to messages before a template sees them is not the template's: reasoning under its three names.
    assert all(json.loads(json.dumps(messages)) == messages for messages in CONVERSATIONS)
    cases = [case(template, conversation, prompt) for template in TEMPLATES
             for conversation in range(len(CONVERSATIONS)) for prompt in (False, True)]
    write_json(GOLDEN / "chat.json", {"special_tokens": SPECIAL, "templates": TEMPLATES, "conversations": CONVERSATIONS,
                                      "cases": cases})


if __name__ == "__main__":
    main()
