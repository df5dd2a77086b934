<?php
// A small application as there are many: sessions, login, registration, and files that customers upload. It is written
// without any thought of consent, in ISO-8859-1.
session_start(['cookie_httponly' => true]);
header('Content-Type: text/html; charset=iso-8859-1');
$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
$store = getenv('STORE');

function page(string $title, string $html): void
{
    echo "<html><head><title>$title</title></head><body><h1 id=\"rubrik\">$title</h1>$html</body></html>";
}

if (isset($_SESSION['user'])) header('X-User: ' . rawurlencode($_SESSION['user']));

if ($path === '/register' && $_SERVER['REQUEST_METHOD'] === 'POST') {
    if (trim($_POST['name'] ?? '') === '') {
        page('Fyll i ditt namn', '<form method="post" enctype="multipart/form-data"><input name="name"><input type="file" name="picture"><input type="submit"></form>');
        return;
    }
    $file = $_FILES['picture'] ?? null;
    $entry = ['name' => bin2hex($_POST['name']), 'plan' => $_GET['plan'] ?? '', 'file' => $file ? $file['name'] : '',
        'error' => $file ? $file['error'] : -1, 'sha256' => $file && $file['error'] === 0 ? hash_file('sha256', $file['tmp_name']) : '',
        'origin' => $_SERVER['HTTP_ORIGIN'] ?? '', 'type' => strtok($_SERVER['CONTENT_TYPE'] ?? '', ';')];
    file_put_contents("$store/customers", json_encode($entry) . "\n", FILE_APPEND | LOCK_EX);
    $_SESSION['user'] = 'customer';
    header('Location: /welcome?n=1', true, 303);
    return;
}
if ($path === '/register') {
    page('Bli kund', '<form method="post" action="/register?plan=stor" enctype="multipart/form-data">
<label>Namn <input name="name"></label> <label>Bild <input type="file" name="picture"></label>
<input type="submit" value="Bli kund"></form>');
} elseif ($path === '/welcome') {
    page('V' . "\xe4" . 'lkommen', '<a href="/account">Ditt konto</a>');
} elseif ($path === '/login' && $_SERVER['REQUEST_METHOD'] === 'POST') {
    $_SESSION['user'] = $_POST['user'];
    header('Location: /account', true, 303);
} elseif ($path === '/login') {
    page('Logga in', '<form method="post" action="/login"><input name="user"><input type="submit" value="Logga in"></form>');
} elseif ($path === '/logout') {
    session_destroy();
    page('Utloggad', '');
} elseif ($path === '/account') {
    page('Ditt konto', '<p>Hemligheter</p>');
} else {
    page('Start', '<a href="/register">Bli kund</a>');
}
