fetch('https://tags.unknown.example/worker', { mode: 'no-cors' }).catch(function () {}).then(function () { postMessage('done'); });
