<?php
// php php74.php <file>: prints, by PHP's own tokens, what in a file PHP 7.4 would not understand, a line each; and what is
// deprecated up to 8.4. It stands in for the old PHP, which Debian no longer has.

// What Comet.php calls: each of them is in PHP 7.4, and does there what it does now. A new call is to be looked up first.
const CALLED = ['base64_encode', 'bin2hex', 'chmod', 'clearstatcache', 'count', 'explode', 'fclose', 'feof', 'file_exists', 'fopen', 'fread', 'fseek',
    'fstat', 'function_exists', 'fwrite', 'flock', 'getenv', 'gettype', 'hash_hmac', 'hrtime', 'in_array', 'inet_pton', 'is_array',
    'is_callable', 'is_file', 'is_float', 'is_int', 'is_string', 'json_decode', 'json_encode', 'max', 'microtime', 'preg_match',
    'random_bytes', 'restore_error_handler', 'round', 'rtrim', 'set_error_handler', 'sprintf', 'stream_select', 'stream_set_blocking',
    'stream_socket_client', 'strlen', 'strpos', 'strtr', 'substr', 'touch', 'trim', 'usleep'];

$tokens = array_values(array_filter(PhpToken::tokenize(file_get_contents($argv[1])), function ($token) {
    return !$token->isIgnorable();
}));
$at = function ($i) use ($tokens) {
    return $tokens[$i] ?? new PhpToken(0, '');
};
$found = function ($i, $what) use ($at) {
    echo 'line ', $at($i)->line, ": $what\n";
};
$new = [T_MATCH => 'match', T_ENUM => 'enum', T_READONLY => 'readonly', T_NULLSAFE_OBJECT_OPERATOR => '?->', T_ATTRIBUTE => 'an attribute'];
$visible = [T_PUBLIC, T_PROTECTED, T_PRIVATE];
foreach ($tokens as $i => $token) {
    if (isset($new[$token->id])) {
        $found($i, $new[$token->id]);
    }
    $next = $at($i + 1);
    $before = $at($i - 1);
    if ($token->is([T_FUNCTION, T_FN])) {
        signature($i, $at, $found);
    }
    if ($token->is($visible) && !$next->is([T_FUNCTION, T_STATIC, T_CONST, T_FINAL, T_ABSTRACT])) {
        for ($j = $i + 1; !$at($j)->is(T_VARIABLE); $j++) {
            if ($at($j)->is(['|', '&'])) {
                $found($j, 'a union of types');
            }
        }
    }
    if ($token->is(T_CONST) && $next->is([T_STRING, T_ARRAY]) && $at($i + 2)->is(T_STRING)) {
        $found($i, 'a constant with a type');
    }
    if ($token->is(T_CATCH)) {
        for ($j = $i + 1; !$at($j)->is(')'); $j++);
        if (!$at($j - 1)->is(T_VARIABLE)) {
            $found($i, 'catch without a variable');
        }
    }
    if ($token->is(T_THROW) && !$before->is([';', '{', '}', ')', ':', T_ELSE])) {
        $found($i, 'throw in an expression');
    }
    if ($token->is(T_CLASS) && $before->is(T_DOUBLE_COLON) && $at($i - 2)->is(T_VARIABLE)) {
        $found($i, '::class of an object');
    }
    if ($token->is(T_ELLIPSIS) && $before->is('(') && $next->is(')')) {
        $found($i, 'a function as a value');
    }
    if ($token->is(T_STRING) && $before->is(['(', ',']) && $next->is(':')) {
        $found($i, 'a named argument');
    }
    if ($token->is(T_LNUMBER) && stripos($token->text, '0o') === 0) {
        $found($i, 'an octal number with 0o');
    }
    if ($next->is('(') && $token->is([T_STRING, T_NAME_FULLY_QUALIFIED])
        && !$before->is([T_FUNCTION, T_NEW, T_OBJECT_OPERATOR, T_NULLSAFE_OBJECT_OPERATOR, T_DOUBLE_COLON])
        && !in_array(ltrim($token->text, '\\'), CALLED, true)) {
        $found($i, "$token->text() is not in the list");
    }
}

/** Looks at a function's parameters and at its return type. */
function signature($i, $at, $found)
{
    for ($i++; !$at($i)->is('('); $i++);
    $after = $at($i)->text;
    for ($depth = 0, $type = '', $default = false; ; $i++) {
        $token = $at($i);
        $depth += ($token->text === '(' || $token->text === '[') - ($token->text === ')' || $token->text === ']');
        if ($depth === 0) {
            break;
        }
        if ($depth === 1 && $token->is([',', '('])) {
            $type = '';
            $default = false;
            if ($token->is(',') && $at($i + 1)->is(')')) {
                $found($i, 'a comma behind the last parameter');
            }
        } elseif ($token->is(T_VARIABLE)) {
            if ($type !== '' && $type[0] !== '?' && $at($i + 1)->is('=') && strtolower($at($i + 2)->text) === 'null') {
                $found($i, 'a default of null for a type without ?'); // deprecated in 8.4
            }
        } elseif ($token->is('=')) {
            $default = true;
        } elseif ($token->is([T_PUBLIC, T_PROTECTED, T_PRIVATE])) {
            $found($i, 'a property made by the constructor');
        } elseif ($default && $token->is(T_NEW)) {
            $found($i, 'new in a default');
        } elseif (!$default) {
            type($i, $at, $found);
            $type .= $token->text;
        }
    }
    for ($i++; !$at($i)->is(['{', ';', T_DOUBLE_ARROW]); $i++) {
        type($i, $at, $found);
        if ($at($i)->is([T_STATIC]) || $at($i)->text === 'never') {
            $found($i, 'the type ' . $at($i)->text);
        }
    }
}

function type($i, $at, $found)
{
    if ($at($i)->text === '|') {
        $found($i, 'a union of types');
    }
    if (in_array(strtolower($at($i)->text), ['mixed', 'false', 'true', 'null'], true)) {
        $found($i, 'the type ' . $at($i)->text);
    }
}
