// The agent for images of 2015 and 2016, whose rc.local feeds this to the Node.js that they have: 0.10 or later.
//
// It asks for a series of tasks every five seconds, runs them as /bin/sh does, and delivers what they said, for as
// long as that takes. It works in the folder in which it was started.
'use strict';

var fs = require('fs');
var http = require('http');
var url = require('url');
var exec = require('child_process').exec;

var place = $place;
var INTERVAL = 5000;          // ms between two questions
var LONGEST_DELAY = 60000;    // ms between two attempts to deliver
var PATIENCE = 60000;         // ms without a byte, after which an exchange is given up
var BUFFER = 5120000;         // bytes that a task may say

// Each exchange is a connection of its own: servers close idle ones just when the next question comes.
// Calls done(error, status, body) once; the body is a Buffer.
function ask(method, target, body, done) {
    var parts = url.parse(target);
    var headers = {Connection: 'close'};
    var ended = false;
    function end(error, status, content) {
        if (!ended) {
            ended = true;
            done(error, status, content);
        }
    }
    if (body !== null) {
        headers['Content-Type'] = 'application/json';
        headers['Content-Length'] = Buffer.byteLength(body);
    }
    var request = http.request({
        method: method, hostname: parts.hostname, port: parts.port, path: parts.path, headers: headers, agent: false
    }, function (response) {
        var pieces = [];
        response.on('data', function (piece) { pieces.push(piece); });
        response.on('error', end);
        response.on('aborted', function () { end(new Error('the server hung up')); });
        response.on('end', function () { end(null, response.statusCode, Buffer.concat(pieces)); });
    });
    request.on('error', end);
    request.setTimeout(PATIENCE, function () { request.abort(); });
    request.end(body === null ? undefined : body);
}

function absolute(target) {
    return /^http:/.test(target) ? target : 'http://' + place.server + ':' + place.port + target;
}

// Fetches a task's file under its last name; calls done(error).
function download(target, done) {
    var name = url.parse(target).pathname.split('/').pop();
    ask('GET', absolute(target), null, function (error, status, body) {
        if (error || status !== 200) {
            return done(new Error('download of ' + target + ' failed: ' + (error ? error.message : 'status ' + status)));
        }
        try {
            fs.writeFileSync(name + '.part', body, {mode: 365}); // 0555
            fs.renameSync(name + '.part', name);
        } catch (problem) {
            return done(problem);
        }
        done(null);
    });
}

function failure(task, error, stdout, stderr) {
    task.error = {
        killed: Boolean(error.killed),
        code: typeof error.code === 'number' ? error.code : 1,
        signal: error.signal || null
    };
    if (task.downloadUrl) {
        task.stdout = stdout;
        task.stderr = stderr;
    }
    return (task.acceptedResponseCodes || []).indexOf(task.error.code) !== -1;
}

function success(task, stdout, stderr) {
    task.error = null;
    task.stdout = stdout;
    task.stderr = stderr;
    return true;
}

// Calls done(whether the series goes on).
function execute(task, done) {
    if (task.cmd === '') { // Node.js since 8 takes no empty command
        return done(success(task, '', ''));
    }
    exec(task.cmd, {maxBuffer: BUFFER}, function (error, stdout, stderr) {
        done(error ? failure(task, error, stdout, stderr) : success(task, stdout, stderr));
    }).stdin.end();
}

function run(task, done) {
    if (!task.downloadUrl) {
        return execute(task, done);
    }
    download(task.downloadUrl, function (error) {
        if (error) {
            return done(failure(task, {}, '', error.message + '\n'));
        }
        execute(task, done);
    });
}

// The tasks from the n-th on, until one fails.
function runFrom(series, n, done) {
    if (n === series.tasks.length) {
        return done();
    }
    run(series.tasks[n], function (goesOn) {
        if (goesOn) {
            runFrom(series, n + 1, done);
        } else {
            done();
        }
    });
}

// An answer is an answer, unless it is a proxy's.
function deliver(body, delay, done) {
    ask('POST', absolute(place.path), body, function (error, status) {
        if (!error && [502, 503, 504].indexOf(status) === -1) {
            return done();
        }
        delay = Math.min(delay + INTERVAL, LONGEST_DELAY);
        setTimeout(function () { deliver(body, delay, done); }, delay);
    });
}

function later() {
    setTimeout(poll, INTERVAL);
}

function poll() {
    ask('GET', absolute(place.path), null, function (error, status, body) {
        var series = null;
        if (!error && status === 200) {
            try {
                series = JSON.parse(body.toString('utf8'));
            } catch (problem) {
                console.error('what came is no series of tasks: ' + problem.message);
            }
        }
        if (!series || !Array.isArray(series.tasks)) {
            return later();
        }
        runFrom(series, 0, function () {
            deliver(JSON.stringify(series), 0, later);
        });
    });
}

poll();
